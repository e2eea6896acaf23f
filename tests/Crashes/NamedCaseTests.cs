using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Crashes;

/// <summary>Cases that a careful reader of Orleans and MySQL would ask about, on silos in this process.</summary>
public sealed class NamedCaseTests
{
    /// <summary>D8: four silos open one account at once and credit it for the first time at once.</summary>
    [Fact]
    public async Task TheFirstCreditsOfANewAccountFromFourSilosAtOnceAllCount()
    {
        await using var bank = await Bank.StartAsync(silos: 4);
        var payers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00)));
        for (var round = 0; round < 5; round++)
        {
            var opening = new AccountOpening("tests", $"fresh-{round}", "holder", Currency.Parse("EUR"), AccountKind.Customer);
            var opened = await Task.WhenAll(Enumerable.Range(0, 4).Select(silo => bank.OpenAsync("B", opening, silo)));
            var fresh = Assert.Single(opened.Distinct());

            var outcomes = await Task.WhenAll(payers.Select((payer, silo) => Retry.UntilTakenAsync(key => bank.TransferAsync(payer, fresh, 1_00, key, through: silo))));
            Assert.All(outcomes, outcome => Assert.Equal(TransferStatus.Posted, outcome.Status));
            var account = await bank.GetAsync(fresh);
            Assert.Equal((4L, 4_00L), (account.Version, account.Posted.MinorUnits));
        }

        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }

    /// <summary>D9: a queue of 200 prepared states, each of which carries all postings before it, is more than a BLOB holds.</summary>
    [Fact]
    public async Task TwoHundredCreditsOfOneAccountAtOnceAllCount()
    {
        await using var bank = await Bank.StartAsync();
        var payee = await bank.OpenAsync("A", AccountKind.Customer); // before all payers in the lock order: it prepares, one after the other
        var payers = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => bank.OpenAsync("B", AccountKind.Business, overdraftMinor: 100_00)));
        var outcomes = await Task.WhenAll(payers.Select(payer => Retry.UntilTakenAsync(key => bank.TransferAsync(payer, payee, 1_00, key))));
        Assert.All(outcomes, outcome => Assert.Equal(TransferStatus.Posted, outcome.Status));
        var account = await bank.GetAsync(payee);
        Assert.Equal((200L, 200_00L), (account.Version, account.Posted.MinorUnits));
        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }

    /// <summary>D10: keys that some storages fold into one (hexadecimal, leading zeros, GUIDs) are no account numbers.</summary>
    [Fact]
    public async Task NoTwoSpellingsMeanOneAccount()
    {
        foreach (var text in (string[])["10", "0010", "00000000000000010", "00ab", "AB", "12ab+x", "550e8400-e29b-41d4-a716-446655440000"])
        {
            Assert.False(AccountNumber.TryParse(text, out _), text);
        }

        await using var bank = await Bank.StartAsync();
        var account = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00);
        foreach (var other in (string[])[account.Text.ToLowerInvariant(), account.Text + " ", "0" + account.Text, account.Text.Replace("-", "", StringComparison.Ordinal)])
        {
            Assert.False(AccountNumber.TryParse(other, out _), other);
        }

        // Two serials that differ by leading zeros alone are two rows.
        var (one, ten) = (AccountNumber.Create("A", AccountKind.Customer, 1), AccountNumber.Create("A", AccountKind.Customer, 10));
        Assert.NotEqual(one.Text, ten.Text);
        Assert.Null(await bank.Grains.GetGrain<IAccountGrain>(one.Text).GetAccount());
    }

    /// <summary>Opposite transfers of pairs of accounts: without one global order each would hold what the other waits for.</summary>
    [Fact]
    public async Task OppositeTransfersNeverWaitForEachOther()
    {
        await using var bank = await Bank.StartAsync(silos: 2);
        var left = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 1_000_00);
        var right = await bank.OpenAsync("B", AccountKind.Customer, overdraftMinor: 1_000_00);
        await Retry.UntilTakenAsync(key => bank.TransferAsync(left, right, 1, key));

        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 64).Select(index =>
            index % 2 == 0 ? bank.TransferAsync(left, right, 1, through: 0) : bank.TransferAsync(right, left, 1, through: 1)));
        Assert.All(outcomes, outcome => Assert.Equal(TransferStatus.Posted, outcome.Status));
        Assert.Equal(65, (await bank.GetAsync(left)).Version);

        // A clash would cost a lease, which is three seconds, for each one that waits.
        Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) < BankingGrains.Lease, "A lock timed out.");
        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }
}
