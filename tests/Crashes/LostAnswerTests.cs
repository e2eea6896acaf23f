using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Crashes;

/// <summary>D5 and D6: the server has done what the silo asked for, and the answer is lost with the connection.</summary>
public sealed class LostAnswerTests
{
    [Theory]
    [InlineData("B", "INSERT INTO posting")] // the manager's decision
    [InlineData("A", "INSERT INTO pending_state")] // the payer's prepare
    public async Task AWriteWhoseAnswerIsLostCountsOnce(string home, string statement)
    {
        await using var bank = await Bank.StartAsync(silos: 0);
        var server = home == "A" ? bank.A : bank.B;
        await using var proxy = FaultProxy.To(server.Port);
        await bank.AddSiloAsync(builder => builder.Configuration[$"Homes:{home}:ConnectionString"] = proxy.Through(server.Runtime("bank_home")));
        var payer = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00);
        var payee = await bank.OpenAsync("B", AccountKind.Business);
        for (var run = 1; run <= 5; run++)
        {
            var lost = proxy.CutAfter(statement);
            var outcome = await Retry.UntilTakenAsync(key => bank.TransferAsync(payer, payee, 1_00, key));
            await lost.WaitAsync(TimeSpan.FromSeconds(5));
            Assert.Equal(TransferStatus.Posted, outcome.Status);
            Assert.Equal((run, run * 1_00), ((await bank.GetAsync(payee)).Version, (await bank.GetAsync(payee)).Posted.MinorUnits));
        }

        await bank.UntilSettledAsync(TimeSpan.FromSeconds(10));
        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }
}
