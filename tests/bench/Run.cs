using System.Collections.Concurrent;
using HdrHistogram;

namespace Banking.Bench;

/// <summary>Drives a way with the callers of a workload. A window is: lead-in → meters → measured time → meters → drain.</summary>
internal sealed class Run(Func<AccountNumber, AccountNumber, Task<string>> transfer, Meters meters, BenchOptions options, TimeProvider time)
{
    /// <summary>The outcome that counts as a transfer; every other one is counted by its own name.</summary>
    public const string Posted = "posted";

    /// <summary>Latencies in microseconds: 1 µs to 1 min at three digits.</summary>
    private const long LatencyMax = 60_000_000;
    private const int Digits = 3;

    /// <summary>Callers draw from fixed seeds: every run sends the same transfers.</summary>
    private const int Seed = 20_261_124;

    /// <summary>The last of the workloads in turn, each for its share of the warm-up.</summary>
    public async Task WarmUpAsync(Workload[] workloads)
    {
        foreach (var workload in workloads)
        {
            var window = new Window();
            var callers = Start(workload, window);
            await Task.Delay(options.WarmUp / workloads.Length, time);
            window.IsOver = true;
            await Task.WhenAll(callers);
        }
    }

    public async Task<Figure> MeasureAsync(string way, Workload workload)
    {
        var window = new Window();
        var callers = Start(workload, window);
        await Task.Delay(options.LeadIn, time);

        var before = await meters.ReadAsync();
        var started = time.GetTimestamp();
        window.IsMeasured = true;
        await Task.Delay(options.Window, time);
        window.IsMeasured = false;
        var seconds = time.GetElapsedTime(started).TotalSeconds;
        var after = await meters.ReadAsync();

        window.IsOver = true;
        await Task.WhenAll(callers);
        return Figure.Of(way, workload, seconds, window, before, after);
    }

    private Task[] Start(Workload workload, Window window) =>
        [.. Enumerable.Range(0, workload.Callers).Select(caller => Task.Run(() => CallAsync(workload, window, new Random(Seed + caller))))];

    private async Task CallAsync(Workload workload, Window window, Random random)
    {
        while (!window.IsOver)
        {
            var (from, to) = workload.Choose(random);
            var started = time.GetTimestamp();
            var outcome = await transfer(from, to);
            if (window.IsMeasured)
            {
                window.Count(outcome, time.GetElapsedTime(started));
            }
        }
    }

    /// <summary>What all callers of one window share.</summary>
    internal sealed class Window
    {
        private readonly ConcurrentDictionary<string, long> outcomes = new();
        private readonly LongConcurrentHistogram latencies = new(1, LatencyMax, Digits);
        private volatile bool isMeasured, isOver;

        public bool IsMeasured { get => isMeasured; set => isMeasured = value; }

        public bool IsOver { get => isOver; set => isOver = value; }

        public IReadOnlyDictionary<string, long> Outcomes => outcomes;

        public void Count(string outcome, TimeSpan latency)
        {
            outcomes.AddOrUpdate(outcome, 1, static (_, count) => count + 1);
            if (outcome == Posted)
            {
                latencies.RecordValue(Math.Clamp((long)latency.TotalMicroseconds, 1, LatencyMax));
            }
        }

        public double LatencyMs(double percentile) => latencies.GetValueAtPercentile(percentile) / 1_000.0;
    }
}
