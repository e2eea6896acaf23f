using System.Globalization;
using System.Text.Json;

namespace Banking.Bench;

/// <summary>The figures as a table for people and as JSON for programs.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Web = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    public static string Head(BenchOptions options) => string.Create(
        CultureInfo.InvariantCulture,
        $"""

        {options.Server}, {Environment.ProcessorCount} cores, {options.Accounts} accounts, windows of {options.Window.TotalSeconds} s{(options.Quick ? " (quick)" : "")}
        way   workload      callers  transfers/s   p50 ms   p99 ms  CPU ms per transfer by process                       commits/transfer  writes/commit
        """);

    public static string Line(Figure figure) => string.Create(
        CultureInfo.InvariantCulture,
        $"{figure.Way,-5} {figure.Workload,-12} {figure.Callers,8} {figure.PerSecond,12:F0} {figure.MedianMs,8:F1} {figure.P99Ms,8:F1}  {Join(figure.CpuMsPerTransfer),-51}  {Join(figure.CommitsPerTransfer),-16}  {Join(figure.WritesPerCommit, "F1")}");

    /// <summary>What else came than posted transfers, by workload.</summary>
    public static string Others(List<Figure> figures)
    {
        var lines = from figure in figures
                    from outcome in figure.Outcomes
                    where outcome.Key != Run.Posted
                    select $"other outcomes: {figure.Way} {figure.Workload} {figure.Callers}: {outcome.Key} {outcome.Value}";
        return string.Join(Environment.NewLine, lines.DefaultIfEmpty("other outcomes: none"));
    }

    public static string Json(BenchOptions options, List<Figure> figures) => JsonSerializer.Serialize(
        new { options.Server, options.Quick, options.Accounts, Cores = Environment.ProcessorCount, WindowSeconds = options.Window.TotalSeconds, figures }, Web);

    private static string Join(IReadOnlyDictionary<string, double> values, string format = "F2") =>
        string.Join(' ', values.OrderBy(value => value.Key, StringComparer.Ordinal).Select(value => $"{value.Key} {value.Value.ToString(format, CultureInfo.InvariantCulture)}"));
}
