using System.Globalization;
using Banking.Tests.Servers;

namespace Banking.Tests.Crashes;

/// <summary>
/// Three silos and three database servers, each its own process, under 64 senders, while everything is killed and stopped in an
/// order that a seed decides. After that the history that the senders saw and the ledger must agree.
/// </summary>
public sealed class CrashTests
{
    private const int Silos = 3, Senders = 64, Accounts = 100, OverdraftMinor = 1_000_00;

    private static readonly TimeSpan SettleTimeMax = TimeSpan.FromSeconds(16);

    private readonly History history = new(TimeSpan.FromSeconds(90)); // far beyond the longest fault

    /// <summary>Three runs, or those that BANK_CRASH_RUNS and BANK_CRASH_SEED ask for.</summary>
    public static TheoryData<int> Seeds()
    {
        var first = int.TryParse(Environment.GetEnvironmentVariable("BANK_CRASH_SEED"), CultureInfo.InvariantCulture, out var seed) ? seed : Random.Shared.Next(1_000_000);
        var runs = int.TryParse(Environment.GetEnvironmentVariable("BANK_CRASH_RUNS"), CultureInfo.InvariantCulture, out var count) ? count : 3;
        return [.. Enumerable.Range(first, runs)];
    }

    [Theory]
    [MemberData(nameof(Seeds), DisableDiscoveryEnumeration = true)]
    public async Task WhateverIsKilledNothingIsLost(int seed)
    {
        await using var bank = await Bank.StartAsync(silos: 0);
        for (var count = 0; count < Silos; count++)
        {
            await bank.AddProcessAsync();
        }

        var accounts = await Task.WhenAll(Enumerable.Range(0, Accounts).Select(index =>
            bank.OpenAsync(index % 2 == 0 ? "A" : "B", index % 5 == 0 ? AccountKind.Business : AccountKind.Customer, overdraftMinor: OverdraftMinor)));
        using var over = new CancellationTokenSource();
        var load = Task.WhenAll(Enumerable.Range(0, Senders).Select(sender => SendAsync(bank, accounts, new Random((seed * 1_000) + sender), over.Token)));

        var faults = new Faults(bank, new Random(seed), line => Measured.Say($"crash seed {seed}: {line}"));
        await faults.RunAsync(load);
        await over.CancelAsync();
        try
        {
            await load;
        }
        catch (Xunit.Sdk.XunitException)
        {
            Measured.Say($"crash seed {seed}: {await bank.DescribeAsync()}");
            throw;
        }

        var settled = await bank.UntilSettledAsync(SettleTimeMax);
        Measured.Say($"crash seed {seed}: {history.Count} transfers, {string.Join(", ", history.ByOutcome.Select(group => $"{group.Count()} {group.Key}"))}; {history.Unknown} answers left it open; longest wait for an outcome {history.LongestWait.TotalSeconds:F1} s; settled {settled.TotalSeconds:F1} s after the load");
        await history.ReplayAsync(bank, every: 10);
        await history.CheckAsync(bank);
        Assert.Empty((await bank.VerifyAsync()).Breaches);
        foreach (var server in (DatabaseServer[])[bank.A, bank.B])
        {
            Assert.Equal(0L, await server.QueryAsync("bank_home", $"SELECT COUNT(*) FROM posting WHERE balance_after_minor < -{OverdraftMinor}"));
        }
    }

    private async Task SendAsync(Bank bank, AccountNumber[] accounts, Random random, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            var (from, to) = (accounts[random.Next(accounts.Length)], accounts[random.Next(accounts.Length)]);
            var minor = random.Next(20) == 0 ? OverdraftMinor * 3 : random.Next(1, 5_00);
            var key = Guid.NewGuid().ToString("N");
            var copies = random.Next(10) == 0 ? 2 : 1;
            await Task.WhenAll(Enumerable.Range(0, copies).Select(_ => history.SendAsync(bank, from, to, minor, key)));
        }
    }
}
