namespace Banking.Tests.Transfers;

/// <summary>What a well-behaved client does: the same key again while nothing was stored.</summary>
internal static class Retry
{
    private const int AttemptsMax = 200;

    public static async Task<TransferOutcome> UntilTakenAsync(Func<string, Task<TransferOutcome>> send, string? key = null)
    {
        key ??= Guid.NewGuid().ToString("N");
        for (var attempt = 1; ; attempt++)
        {
            var outcome = await send(key);
            var isOpen = outcome.Status == TransferStatus.Pending || outcome.Refusal is { Code: Code.Overloaded or Code.HomeUnavailable };
            if (!isOpen || attempt == AttemptsMax)
            {
                return outcome;
            }

            await Task.Delay(50);
        }
    }
}
