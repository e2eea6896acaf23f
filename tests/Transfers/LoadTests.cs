using System.Diagnostics;
using Banking.Tests.Servers;

namespace Banking.Tests.Transfers;

public sealed class LoadTests
{
    [Fact]
    public async Task ScratchLoad()
    {
        await using var bank = await Bank.StartAsync();
        var cash = await bank.OpenAsync("A", AccountKind.Internal);
        var accounts = new List<AccountNumber>();
        for (var i = 0; i < 1000; i += 50)
        {
            accounts.AddRange(await Task.WhenAll(Enumerable.Range(i, 50).Select(n => bank.OpenAsync(n % 2 == 0 ? "A" : "B", AccountKind.Customer, overdraftMinor: 1_000_000))));
        }

        long batches = 0, ops = 0; double secs = 0;
        using var listener = new System.Diagnostics.Metrics.MeterListener();
        listener.InstrumentPublished = (i, l) => { if (i.Meter.Name == "Banking.Homes") { l.EnableMeasurementEvents(i); } };
        listener.SetMeasurementEventCallback<int>((i, v, t, s) => { if (i.Name.EndsWith("size")) { Interlocked.Increment(ref batches); Interlocked.Add(ref ops, v); } });
        listener.SetMeasurementEventCallback<double>((i, v, t, s) => { if (i.Name.EndsWith("duration")) { lock (listener) { secs += v; } } });
        listener.Start();
        foreach (var (name, seconds, callers) in new[] { ("warm", 15, 256), ("uniform", 15, 256), ("uniform2", 10, 256), ("hot", 10, 64), ("hot-customer", 10, 64), ("one", 4, 1) })
        {
            var count = 0;
            var bad = new Dictionary<string, int>();
            var watch = Stopwatch.StartNew();
            var worstCustomer = accounts.Min();
            await Task.WhenAll(Enumerable.Range(0, callers).Select(async caller =>
            {
                var random = new Random(caller);
                while (watch.Elapsed.TotalSeconds < seconds)
                {
                    var a = accounts[random.Next(accounts.Count)];
                    var b = accounts[random.Next(accounts.Count)];
                    if (name == "hot") { a = cash; }
                    if (name == "hot-customer") { a = worstCustomer; }
                    if (a == b) { continue; }
                    var outcome = random.Next(2) == 0 ? await bank.TransferAsync(a, b, 1) : await bank.TransferAsync(b, a, 1);
                    if (outcome.Status == TransferStatus.Posted) { Interlocked.Increment(ref count); }
                    else { lock (bad) { var k = outcome.Refusal?.Code.ToString() ?? "pending"; bad[k] = bad.GetValueOrDefault(k) + 1; } }
                }
            }));
            var cpu = Process.GetCurrentProcess().TotalProcessorTime.TotalSeconds;
            Console.WriteLine($"batches {batches} size {(double)ops / batches:F1} ms {secs * 1000 / batches:F2} cpu {cpu:F1}"); batches = 0; ops = 0; secs = 0;
            Console.WriteLine($"LOAD {name}: {count / watch.Elapsed.TotalSeconds:F0}/s bad {string.Join(",", bad)}");
        }
    }
}
