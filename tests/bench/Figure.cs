namespace Banking.Bench;

/// <summary>One line of the result. Numbers per transfer are per posted one, and so are latencies.</summary>
internal sealed record Figure(
    string Way,
    string Workload,
    int Callers,
    double PerSecond,
    double MedianMs,
    double P99Ms,
    IReadOnlyDictionary<string, double> CpuMsPerTransfer,
    IReadOnlyDictionary<string, double> CommitsPerTransfer,
    IReadOnlyDictionary<string, double> WritesPerCommit,
    IReadOnlyDictionary<string, long> Outcomes)
{
    public static Figure Of(string way, Workload workload, double seconds, Run.Window window, Reading before, Reading after)
    {
        var posted = window.Outcomes.GetValueOrDefault(Run.Posted);
        return new Figure(
            way,
            workload.Name,
            workload.Callers,
            Round(posted / seconds),
            window.LatencyMs(50),
            window.LatencyMs(99),
            after.CpuMs.ToDictionary(process => process.Key, process => Ratio(process.Value - before.CpuMs[process.Key], posted)),
            after.Commits.ToDictionary(home => home.Key, home => Ratio(home.Value - before.Commits[home.Key], posted)),
            after.Writes.ToDictionary(home => home.Key, home => Ratio(home.Value - before.Writes[home.Key], after.Commits[home.Key] - before.Commits[home.Key])),
            window.Outcomes);
    }

    private static double Ratio(double amount, long count) => count == 0 ? 0 : Round(amount / count);

    private static double Round(double value) => Math.Round(value, 3);
}
