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

        foreach (var (name, seconds, callers) in new[] { ("warm", 8, 256), ("uniform", 10, 256), ("hot", 10, 64), ("hot-customer", 10, 64), ("one", 4, 1) })
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
            Console.WriteLine($"LOAD {name}: {count / watch.Elapsed.TotalSeconds:F0}/s bad {string.Join(",", bad)}");
        }
    }
}
