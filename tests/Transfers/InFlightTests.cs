using Banking.Tests.Servers;

namespace Banking.Tests.Transfers;

/// <summary>Nobody is told that nothing changed while it may still change.</summary>
public sealed class InFlightTests : IAsyncLifetime
{
    private Bank bank = null!;
    private AccountNumber alice, bob, carol;

    public async ValueTask InitializeAsync()
    {
        bank = await Bank.StartAsync();
        alice = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00);
        bob = await bank.OpenAsync("B", AccountKind.Customer);
        carol = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00);
    }

    public ValueTask DisposeAsync() => bank.DisposeAsync();

    [Fact]
    public async Task ATransferThatIsPreparedIsPendingNotOverloaded()
    {
        var id = TransferId.Of(alice, "in-flight").Text;
        await bank.A.QueryAsync(
            "bank_home",
            "INSERT INTO transfer (source, number, id, status, destination, amount_minor, currency, requested_by, decided_at, balance_after_minor, transaction_id) " +
            $"VALUES ('{alice}', 99, '{id}', 'prepared', '{bob}', 100, 'EUR', 'tests', UTC_TIMESTAMP(6), 0, REPEAT('t', 16))");
        var waiting = await bank.TransferAsync(alice, bob, 1_00, "in-flight");
        Assert.Equal(TransferStatus.Pending, waiting.Status);

        await bank.A.QueryAsync("bank_home", $"DELETE FROM transfer WHERE id = '{id}'"); // as a cancel does
        var posted = await bank.TransferAsync(alice, bob, 1_00, "in-flight");
        Assert.Equal((TransferStatus.Posted, 1), (posted.Status, (await bank.GetAsync(alice)).Version));
    }

    [Fact]
    public async Task APostedTransferIsReplayedWhileThePayeesHomeIsDown()
    {
        Assert.Equal(TransferStatus.Posted, (await bank.TransferAsync(alice, bob, 1_00, "before")).Status);
        await bank.GetAsync(alice);
        await bank.B.KillAsync();
        for (var attempt = 0; attempt < 100; attempt++)
        {
            if ((await bank.TransferAsync(carol, bob, 1_00)).Refusal?.Code == Code.HomeUnavailable)
            {
                break;
            }

            await Task.Delay(100);
        }

        var replay = await bank.TransferAsync(alice, bob, 1_00, "before");
        Assert.Equal((TransferStatus.Posted, true), (replay.Status, replay.Replayed));
    }
}
