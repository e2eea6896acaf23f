using System.Globalization;
using Banking.Tests.Servers;

namespace Banking.Tests.Crashes;

/// <summary>
/// D1 and D4: the manager's decisive write is on its way, or its silo is stopped just before it, while the rest of the bank takes the
/// silo for dead and goes on; then the write arrives after all. With the guards money is safe. Without them (rule 3.7, a load that
/// neither locks nor fences, and 3.8, a cancel that asks nobody) it must be seen to be lost, or this test would prove nothing.
/// </summary>
public sealed class LateWriteTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30), FreeAfterMax = TimeSpan.FromSeconds(16);

    private Bank bank = null!;

    /// <summary>How often each case runs; the guards-off cases end with the first loss.</summary>
    private static int Runs => int.TryParse(Environment.GetEnvironmentVariable("BANK_CASE_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs : 1;

    public async ValueTask InitializeAsync() => bank = await Bank.StartAsync(silos: 0);

    public ValueTask DisposeAsync() => bank.DisposeAsync();

    /// <summary>D1: the write is held between silo and server; the silo is killed; its accounts are loaded elsewhere; then the write arrives.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ACommitThatArrivesAfterItsSiloDiedLosesNoMoney(bool guards) => await RunAsync(guards, async (payer, payee, key) =>
    {
        await using var proxy = FaultProxy.To(bank.B.Port);
        await using var victim = await AddAsync(guards, $"--Homes:B:ConnectionString={proxy.Through(bank.B.Runtime("bank_home"))}");
        await bank.ActivateOnAsync(payee, victim);
        using var held = proxy.HoldBefore("INSERT INTO posting");
        var sent = bank.TransferAsync(payer, payee, 1_00, key);
        sent.Ignore();
        await held.Struck.WaitAsync(Patience);
        await victim.KillAsync();
        await UntilPayerIsFreeAsync(payer);
        held.Release();
        await held.Ended.WaitAsync(Patience);
    });

    /// <summary>D4: the silo is stopped between "prepared" and the commit, is declared dead, and wakes up.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ASiloThatWakesUpAfterItWasDeclaredDeadWritesNothing(bool guards) => await RunAsync(guards, async (payer, payee, key) =>
    {
        await using var victim = await AddAsync(guards, $"--Moment:Account={payee}", "--Moment:Write=Commit", "--Moment:Phase=Queued", "--Moment:Fate=Stop");
        await bank.ActivateOnAsync(payee, victim);
        var sent = bank.TransferAsync(payer, payee, 1_00, key);
        sent.Ignore();
        Assert.True(await victim.UntilStoppedOrGoneAsync(Patience), "The moment never came.");
        await UntilPayerIsFreeAsync(payer);
        victim.Continue();
        await victim.UntilGoneAsync(Patience); // it finds itself declared dead
    });

    /// <summary>A silo that hangs while it holds the locks of its rows must not hold them for long: the server drops its session.</summary>
    [Fact]
    public async Task ASiloThatStopsWhileItHoldsRowLocksDoesNotBlockItsAccounts()
    {
        await bank.AddProcessAsync();
        var (payer, payee) = await OpenAsync();
        var victim = await bank.AddProcessAsync($"--Moment:Account={payee}", "--Moment:Write=Commit", "--Moment:Phase=Locked", "--Moment:Fate=Stop");
        await bank.ActivateOnAsync(payee, victim);
        var sent = bank.TransferAsync(payer, payee, 1_00, "stuck");
        sent.Ignore();
        Assert.True(await victim.UntilStoppedOrGoneAsync(Patience), "The moment never came.");
        var freeAfter = await bank.UntilSettledAsync(FreeAfterMax);
        Measured.Say($"silo stopped with row locks held: accounts free {freeAfter.TotalSeconds:F1} s later");
        victim.Continue();
        await victim.UntilGoneAsync(Patience);
        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }

    private async Task RunAsync(bool guards, Func<AccountNumber, AccountNumber, string, Task> late)
    {
        await AddAsync(guards);
        for (var run = 1; run <= (guards ? Runs : Math.Max(Runs, 3)); run++)
        {
            var (payer, payee) = await OpenAsync();
            await late(payer, payee, $"late-{run}");
            var settled = guards ? await bank.UntilSettledAsync(FreeAfterMax) : default;
            var breaches = (await bank.VerifyAsync(new Verification.FastTime())).Breaches;
            if (guards)
            {
                Assert.Empty(breaches);
                Assert.Equal((await bank.GetAsync(payee)).Posted.MinorUnits, -(await bank.GetAsync(payer)).Posted.MinorUnits);
            }
            else if (breaches.Count > 0)
            {
                Measured.Say($"without the guards money was lost in run {run}: {breaches[0]}");
                return;
            }
        }

        Assert.True(guards, "Without the guards no money was lost: the test does not see the hole.");
    }

    private Task<SiloProcess> AddAsync(bool guards, params string[] arguments) => bank.AddProcessAsync([$"--Guards:Fences={guards}", .. arguments]);

    /// <summary>The payer, a customer, prepares; the payee, a business, decides.</summary>
    private async Task<(AccountNumber Payer, AccountNumber Payee)> OpenAsync() =>
        (await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00), await bank.OpenAsync("B", AccountKind.Business));

    private async Task UntilPayerIsFreeAsync(AccountNumber payer)
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        while (!Equals(await bank.A.QueryAsync("bank_home", $"SELECT COUNT(*) FROM pending_state WHERE state_key = '{payer}'"), 0L))
        {
            Assert.True(clock.Elapsed < Patience, "The payer's prepared state was never decided.");
            await Task.Delay(50);
        }
    }
}
