using System.Diagnostics;
using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Crashes;

/// <summary>
/// Guarantee 6, measured: a silo dies between each two writes of a transfer. Nobody touches the accounts; by themselves they
/// must be free 10 s after the silo was declared dead, which takes at most 6 s, and the transfer must have one outcome.
/// </summary>
public sealed class SiloDeathTests : IAsyncLifetime
{
    private static readonly TimeSpan FreeAfterMax = TimeSpan.FromSeconds(16);

    private Bank bank = null!;

    public async ValueTask InitializeAsync()
    {
        bank = await Bank.StartAsync(silos: 0);
        await bank.AddProcessAsync();
    }

    public ValueTask DisposeAsync() => bank.DisposeAsync();

    [Fact]
    public async Task ASiloThatDiesBetweenAnyTwoWritesLeavesNothingInDoubt()
    {
        // The business decides, the customer prepares and confirms.
        (string Write, string Phase, AccountKind Payer, TransferStatus? Expected)[] moments =
        [
            ("Prepare", "Committed", AccountKind.Customer, null),
            ("Commit", "Queued", AccountKind.Customer, null),
            ("Commit", "Committed", AccountKind.Customer, TransferStatus.Posted),
            ("Confirm", "Queued", AccountKind.Business, TransferStatus.Posted), // D7: the payee's silo, after the answer
            ("Confirm", "Committed", AccountKind.Customer, TransferStatus.Posted),
            ("Collect", "Locked", AccountKind.Customer, TransferStatus.Posted),
        ];
        foreach (var (write, phase, payer, expected) in moments)
        {
            var (outcome, freeAfter) = await DieAsync(write, phase, payer);
            Measured.Say($"silo killed at {write} {phase}: accounts free {freeAfter.TotalSeconds:F1} s later, outcome {outcome}");
            Assert.True(freeAfter < FreeAfterMax, $"{write} {phase}: free only {freeAfter.TotalSeconds:F1} s after the silo died.");
            Assert.True(expected is null || outcome == expected, $"{write} {phase}: expected {expected}, got {outcome}");
        }

        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }

    private async Task<(TransferStatus Outcome, TimeSpan FreeAfter)> DieAsync(string write, string phase, AccountKind paying)
    {
        var isBusiness = paying == AccountKind.Business;
        var payer = await bank.OpenAsync("A", paying, overdraftMinor: 100_00);
        var payee = await bank.OpenAsync("B", isBusiness ? AccountKind.Customer : AccountKind.Business);
        var (customer, business) = isBusiness ? (payee, payer) : (payer, payee);
        var meant = write is "Commit" or "Collect" ? business : customer;
        var victim = await bank.AddProcessAsync($"--Moment:Account={meant}", $"--Moment:Write={write}", $"--Moment:Phase={phase}", "--Moment:Fate=Die");
        await bank.ActivateOnAsync(meant, victim);

        var sent = bank.TransferAsync(payer, payee, 1_00, "in-doubt");
        Assert.True(await victim.UntilStoppedOrGoneAsync(TimeSpan.FromSeconds(20)), $"{write} {phase}: the moment never came.");
        var freeAfter = await bank.UntilSettledAsync(TimeSpan.FromSeconds(60));
        await Task.WhenAny(sent, Task.Delay(TimeSpan.FromSeconds(15))); // what it answered is told again below; it may have been lost with the silo
        sent.Ignore();

        var clock = Stopwatch.StartNew();
        var outcome = await Retry.UntilTakenAsync(key => bank.TransferAsync(payer, payee, 1_00, key), "in-doubt");
        var next = await Retry.UntilTakenAsync(key => bank.TransferAsync(payer, payee, 2_00, key));
        Assert.Equal(TransferStatus.Posted, next.Status);
        return (outcome.Status, freeAfter + clock.Elapsed);
    }
}
