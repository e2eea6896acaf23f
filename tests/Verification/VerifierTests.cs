using Banking.Homes;
using Banking.Tests.Servers;

namespace Banking.Tests.Verification;

/// <summary>The proof can fail: every kind of damage is named.</summary>
public sealed class VerifierTests : IAsyncLifetime
{
    private const string Home = "bank_home";

    private Bank bank = null!;
    private AccountNumber alice, bob;

    public async ValueTask InitializeAsync()
    {
        bank = await Bank.StartAsync();
        var cash = await bank.OpenAsync("A", AccountKind.Internal);
        alice = await bank.OpenAsync("A", AccountKind.Customer);
        bob = await bank.OpenAsync("B", AccountKind.Customer);
        Assert.Equal(TransferStatus.Posted, (await bank.TransferAsync(cash, alice, 100_00)).Status);
        for (var count = 0; count < 5; count++)
        {
            Assert.Equal(TransferStatus.Posted, (await bank.TransferAsync(alice, bob, 1_00)).Status);
        }

        Assert.Equal(Code.InsufficientFunds, (await bank.TransferAsync(alice, bob, 1_000_00)).Refusal!.Code);
        await bank.GetAsync(bob); // waits for the last confirmation
        await bank.GetAsync(alice);
    }

    public ValueTask DisposeAsync() => bank.DisposeAsync();

    [Fact]
    public async Task EveryDamageIsNamed()
    {
        var sound = await bank.VerifyAsync();
        Assert.Empty(sound.Breaches);
        Assert.Equal(0, (long)sound.Totals.Where(total => total.Key.Currency == "EUR").Aggregate(Int128.Zero, (sum, total) => sum + total.Value.SumMinor));

        await DamageAsync(alice, $"UPDATE posting SET amount_minor = -101 WHERE account = '{alice}' AND version = 3", $"posting {alice} 3: its hash");
        await DamageAsync(alice, $"DELETE FROM posting WHERE account = '{alice}' AND version = 3", $"account {alice}: expected posting 3, found posting 4");
        await DamageAsync(bob, $"DELETE FROM posting WHERE account = '{bob}' AND version = 5", $"account {bob}: it says that it has 5 postings, the last one found is 4");
        await DamageAsync(
            bob,
            $"INSERT INTO posting SELECT account, 6, kind, transfer_id, amount_minor, balance_after_minor + 100, counterparty, reference, posted_at, hash, transaction_id FROM posting WHERE account = '{bob}' AND version = 5",
            $"account {bob}: it says that it has 5 postings, the last one found is 6");
        await DamageAsync(bob, $"UPDATE account SET posted_minor = posted_minor + 1 WHERE number = '{bob}'", $"account {bob}: its posted balance is 501, its postings sum to 500");
        await DamageAsync(bob, $"UPDATE posting SET hash = REPEAT('x', 32) WHERE account = '{bob}' AND version = 2", $"posting {bob} 2: its hash");
        await DamageAsync(bob, $"UPDATE account SET head_hash = REPEAT('x', 32) WHERE number = '{bob}'", $"account {bob}: its head hash");
        await DamageAsync(bob, $"UPDATE posting SET reference = 'other' WHERE account = '{bob}' AND version = 5", $"posting {bob} 5: its hash");
        await DamageAsync(bob, $"UPDATE account SET currency = 'USD' WHERE number = '{bob}'", $"its currency is EUR, that of {bob} is USD");
        await DamageAsync(alice, $"DELETE FROM transfer WHERE source = '{alice}' AND number = 2", $"account {alice}: expected outcome 2, found 3");
        await DamageAsync(alice, $"UPDATE transfer SET number = 9 WHERE source = '{alice}' AND number = 6", $"account {alice}: expected outcome 6, found 9");
    }

    [Fact]
    public async Task ACreditThatIsLostWithoutATraceInItsAccountIsFound() =>
        // The account is consistent in itself: the last posting is gone and the row says so. Only the other leg knows.
        await DamageAsync(
            bob,
            $"UPDATE account SET posting_version = 4, posted_minor = 400, head_hash = (SELECT hash FROM posting WHERE account = '{bob}' AND version = 4) WHERE number = '{bob}'; " +
            $"DELETE FROM posting WHERE account = '{bob}' AND version = 5",
            $"expected it once on {bob} with 100 minor units, found it 0 times");

    [Fact]
    public async Task APostingThatNoTransferExplainsIsFound() =>
        await DamageAsync(alice, $"UPDATE transfer SET status = 'prepared' WHERE source = '{alice}' AND number = 5", "and is not posted at its source");

    [Fact]
    public async Task TheHashOfEveryPostingCanBeCheckedBySqlAlone()
    {
        const string differing =
            "SELECT COUNT(*) FROM posting p LEFT JOIN posting before_it ON before_it.account = p.account AND before_it.version = p.version - 1 " +
            "WHERE LOWER(HEX(p.hash)) <> SHA2(CONCAT_WS('|', LOWER(HEX(IFNULL(before_it.hash, REPEAT('\\0', 32)))), p.account, p.version, p.kind, p.transfer_id, " +
            "p.amount_minor, p.balance_after_minor, IFNULL(p.counterparty, ''), DATE_FORMAT(p.posted_at, '%Y-%m-%dT%H:%i:%s.%fZ'), " +
            "IF(p.reference IS NULL, '-', CONCAT('=', p.reference))), 256)";

        Assert.Equal(0L, await bank.A.QueryAsync(Home, differing));
        Assert.Equal(0L, await bank.B.QueryAsync(Home, differing));
        await bank.B.QueryAsync(Home, "UPDATE posting SET amount_minor = amount_minor + 1 WHERE version = 2");
        Assert.NotEqual(0L, await bank.B.QueryAsync(Home, differing));
    }

    /// <summary>Damages one home, sees the breach named, and puts everything back.</summary>
    private async Task DamageAsync(AccountNumber account, string damage, string expected)
    {
        var server = bank.ServerOf(account);
        string[] tables = ["account", "posting", "transfer"];
        foreach (var table in tables)
        {
            await server.QueryAsync(Home, $"CREATE TABLE {table}_kept LIKE {table}; INSERT INTO {table}_kept SELECT * FROM {table}");
        }

        await server.QueryAsync(Home, damage);
        var report = await bank.VerifyAsync(new FastTime());
        Assert.Contains(report.Breaches, breach => breach.Contains(expected, StringComparison.Ordinal));

        foreach (var table in tables)
        {
            await server.QueryAsync(Home, $"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {table}_kept; DROP TABLE {table}_kept");
        }

        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }
}

/// <summary>Runs twenty times as fast, so that ten seconds of patience are half a second.</summary>
internal sealed class FastTime : TimeProvider
{
    public override long GetTimestamp() => unchecked(base.GetTimestamp() * 20);
}
