using Banking.Tests.Servers;

namespace Banking.Tests.Transfers;

public sealed class TransferTests
{
    [Fact]
    public async Task MoneyMovesBetweenTwoHomes()
    {
        await using var bank = await Bank.StartAsync();
        var cash = await bank.OpenAsync("A", AccountKind.Internal);
        var alice = await bank.OpenAsync("A", AccountKind.Customer);
        var bob = await bank.OpenAsync("B", AccountKind.Customer);

        var funded = await bank.TransferAsync(cash, alice, 100_00);
        Assert.Equal(TransferStatus.Posted, funded.Status);
        var posted = await bank.TransferAsync(alice, bob, 12_34);
        Assert.Equal(TransferStatus.Posted, posted.Status);
        Assert.Equal(87_66, posted.Receipt!.BalanceAfter!.Value.MinorUnits);
        var refused = await bank.TransferAsync(alice, bob, 1_000_00);
        Assert.Equal(Code.InsufficientFunds, refused.Refusal!.Code);

        Assert.Equal(87_66, (await bank.Grains.GetGrain<IAccountGrain>(alice.Text).GetAccount())!.Posted.MinorUnits);
        Assert.Equal(12_34, (await bank.Grains.GetGrain<IAccountGrain>(bob.Text).GetAccount())!.Posted.MinorUnits);
    }
}
