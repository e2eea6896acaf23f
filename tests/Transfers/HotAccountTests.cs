using Banking.Tests.Servers;

namespace Banking.Tests.Transfers;

/// <summary>Every transfer debits or credits one account, 64 at a time: nothing is lost, counted twice or out of order.</summary>
public sealed class HotAccountTests : IAsyncLifetime
{
    private const int Senders = 64;

    private Bank bank = null!;
    private List<AccountNumber> others = null!;

    public async ValueTask InitializeAsync()
    {
        bank = await Bank.StartAsync();
        others = [.. await Task.WhenAll(Enumerable.Range(0, Senders).Select(index => bank.OpenAsync(index % 2 == 0 ? "A" : "B", AccountKind.Business, overdraftMinor: 1_000_00)))];
    }

    public ValueTask DisposeAsync() => bank.DisposeAsync();

    [Fact]
    public async Task AHotInternalAccountAgreesExactly() => await AgreesAsync(await bank.OpenAsync("A", AccountKind.Internal), transfersEach: 40);

    [Fact]
    public async Task AHotCustomerAccountInTheWorstPlaceOfTheLockOrderAgreesExactly() =>
        await AgreesAsync(await bank.OpenAsync("B", AccountKind.Customer, overdraftMinor: 1_000_000_00), transfersEach: 12);

    private async Task AgreesAsync(AccountNumber hot, int transfersEach)
    {
        var (posted, credited) = (0L, 0L);
        await Task.WhenAll(others.Select(async (other, sender) =>
        {
            var random = new Random(sender);
            for (var count = 0; count < transfersEach; count++)
            {
                var isCredit = random.Next(2) == 0;
                var amount = random.Next(1, 10);
                var outcome = await Retry.UntilTakenAsync(key => isCredit ? bank.TransferAsync(other, hot, amount, key) : bank.TransferAsync(hot, other, amount, key));
                Assert.Equal(TransferStatus.Posted, outcome.Status);
                Interlocked.Increment(ref posted);
                Interlocked.Add(ref credited, isCredit ? amount : -amount);
            }
        }));

        var account = await bank.GetAsync(hot);
        Assert.Equal(Senders * transfersEach, posted);
        Assert.Equal((posted, credited), (account.Version, account.Posted.MinorUnits));
        Assert.All(await Task.WhenAll(others.Select(other => bank.GetAsync(other))), other => Assert.Equal(transfersEach, other.Version));
        Assert.Equal(posted, await bank.ServerOf(hot).QueryAsync("bank_home", $"SELECT COUNT(*) FROM posting WHERE account = '{hot}'"));
        Assert.Empty((await bank.VerifyAsync()).Breaches);
        await BothLegsCarryTheirTransactionAsync(posted);
    }

    /// <summary>Rule 3.8 looks for a transaction among the postings: each must carry its own, also one that waited for a lock.</summary>
    private async Task BothLegsCarryTheirTransactionAsync(long transfers)
    {
        var transactions = new Dictionary<string, HashSet<string>>();
        foreach (var server in (DatabaseServer[])[bank.A, bank.B])
        {
            await server.ReadAsync("bank_home", "SELECT transfer_id, HEX(transaction_id) FROM posting", row =>
            {
                transactions.TryAdd(row.GetString(0), []);
                transactions[row.GetString(0)].Add(row.GetString(1));
            });
        }

        Assert.All(transactions.Values, ids => Assert.Single(ids));
        Assert.Equal(transfers, transactions.Values.Select(ids => ids.Single()).Distinct().LongCount());
    }
}
