using System.Diagnostics;
using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Homes;

/// <summary>A home is killed under load and comes back: the other home goes on, nothing is lost, nothing stays in doubt.</summary>
public sealed class OutageTests
{
    private const int Senders = 32;

    [Fact]
    public async Task AHomeThatDiesAndComesBackLosesNothingAndStopsOnlyItself()
    {
        await using var bank = await Bank.StartAsync(silos: 2);
        var accounts = await Task.WhenAll(Enumerable.Range(0, 60).Select(index => bank.OpenAsync(index % 2 == 0 ? "A" : "B", AccountKind.Customer, overdraftMinor: 1_000_000_00)));
        var inA = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 1_000_000_00)));

        var clock = Stopwatch.StartNew();
        var (down, up, end) = (TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(12));
        var outcomes = new System.Collections.Concurrent.ConcurrentBag<(string Key, AccountNumber From, AccountNumber To, TransferOutcome Outcome)>();
        var (healthyTried, healthyPosted) = (0, 0);
        var load = Task.WhenAll(Enumerable.Range(0, Senders).Select(async sender =>
        {
            var random = new Random(sender);
            while (clock.Elapsed < end)
            {
                var isHealthy = sender % 2 == 0;
                var pool = isHealthy ? inA : accounts;
                var (from, to) = (pool[random.Next(pool.Length)], pool[random.Next(pool.Length)]);
                if (from == to)
                {
                    continue;
                }

                var key = Guid.NewGuid().ToString("N");
                var isDown = clock.Elapsed > down && clock.Elapsed < up;
                var outcome = await bank.TransferAsync(from, to, random.Next(1, 100), key, through: sender % 2);
                outcomes.Add((key, from, to, outcome));
                if (isHealthy && isDown)
                {
                    Interlocked.Increment(ref healthyTried);
                    Interlocked.Add(ref healthyPosted, outcome.Status == TransferStatus.Posted ? 1 : 0);
                }
            }
        }));

        await Task.Delay(down - clock.Elapsed);
        await bank.B.KillAsync();
        await Task.Delay(up - clock.Elapsed);
        await bank.B.StartAsync();
        var back = Stopwatch.StartNew();
        await load;

        await bank.UntilSettledAsync(TimeSpan.FromSeconds(15));
        var settled = back.Elapsed;
        // Every order ends in one outcome, and the one that was given stays.
        var final = await Task.WhenAll(outcomes.Select(async sent =>
        {
            var outcome = await Retry.UntilTakenAsync(key => bank.Grains.GetGrain<ITransferGrain>(sent.From.Text)
                .Transfer(new TransferOrder(key, sent.To, sent.Outcome.Receipt?.Amount ?? new Money(1, Currency.Parse("EUR")), "tests")), sent.Key);
            return (sent, outcome);
        }));
        Assert.All(final.Where(pair => pair.sent.Outcome.Status == TransferStatus.Posted), pair => Assert.Equal(TransferStatus.Posted, pair.outcome.Status));
        Measured.Say($"outage: {outcomes.Count} sent, {outcomes.Count(sent => sent.Outcome.Status == TransferStatus.Posted)} posted, {outcomes.Count(sent => sent.Outcome.Status == TransferStatus.Pending)} pending, {string.Join(", ", outcomes.Where(s => s.Outcome.Refusal is not null).GroupBy(s => s.Outcome.Refusal!.Code).Select(g => $"{g.Key} {g.Count()}"))}; healthy {healthyPosted}/{healthyTried}; settled {settled.TotalSeconds:F1} s after the home was back");
        var report = await bank.VerifyAsync();
        Assert.Empty(report.Breaches);
        Assert.InRange(healthyPosted, healthyTried * 0.999, healthyTried);
        Assert.True(healthyTried > 20, $"{healthyTried} transfers of the healthy home while the other was down");
    }

    /// <summary>Guarantee 9: membership and reminders live in bank_system; money does not need them.</summary>
    [Fact]
    public async Task TransfersGoOnWhileBankSystemIsDown()
    {
        await using var bank = await Bank.StartAsync(silos: 2);
        var accounts = await Task.WhenAll(Enumerable.Range(0, 40).Select(index => bank.OpenAsync(index % 2 == 0 ? "A" : "B", AccountKind.Customer, overdraftMinor: 1_000_000_00)));
        await bank.System.KillAsync();
        var (clock, tried, posted) = (Stopwatch.StartNew(), 0, 0);
        await Task.WhenAll(Enumerable.Range(0, Senders).Select(async sender =>
        {
            var random = new Random(sender);
            while (clock.Elapsed < TimeSpan.FromSeconds(6))
            {
                var (from, to) = (accounts[random.Next(20) * 2], accounts[(random.Next(20) * 2) + 1]);
                var outcome = await bank.TransferAsync(from, to, 1, through: sender % 2);
                Interlocked.Increment(ref tried);
                Interlocked.Add(ref posted, outcome.Status == TransferStatus.Posted ? 1 : 0);
            }
        }));
        await bank.System.StartAsync();
        Measured.Say($"bank_system down for {clock.Elapsed.TotalSeconds:F0} s: {posted} of {tried} transfers posted");
        Assert.InRange(posted, tried * 0.999, tried);
        Assert.True(tried > 500, $"{tried} transfers");
        Assert.Empty((await bank.VerifyAsync()).Breaches);
    }
}
