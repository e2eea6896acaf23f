using System.Diagnostics;
using System.Globalization;
using Banking.Homes;
using Microsoft.Extensions.Configuration;

namespace Banking;

/// <summary>The verb <c>verify</c>: proves the ledger of all homes from SQL alone and prints totals and each breach.</summary>
internal static class Verify
{
    /// <summary>0 when all holds, 1 on any breach, 2 when a home cannot be read.</summary>
    public static async Task<int> RunAsync(string[] args, TextWriter output)
    {
        var configuration = new ConfigurationBuilder().AddEnvironmentVariables().AddCommandLine(args).Build();
        var homes = configuration.GetSection("Homes").Get<Dictionary<string, HomeOptions>>() ?? [];
        if (homes.Count == 0)
        {
            await Console.Error.WriteLineAsync("Expected Homes:NAME:ConnectionString for at least one home.");
            return 2;
        }

        var started = Stopwatch.GetTimestamp();
        LedgerVerifier.Report report;
        try
        {
            report = await new LedgerVerifier(homes.ToDictionary(home => home.Key, home => home.Value.ConnectionString), TimeProvider.System).RunAsync();
        }
        catch (MySqlConnector.MySqlException exception)
        {
            await Console.Error.WriteLineAsync($"A home cannot be read: {exception.Message}");
            return 2;
        }

        await PrintAsync(report, output);
        await output.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{(report.Breaches.Count == 0 ? "clean" : $"{report.Breaches.Count} BREACHES")} after {Stopwatch.GetElapsedTime(started).TotalSeconds:F1} s; {report.InFlight} transfers were in flight, {report.PendingStates} pending states, {report.UnsettledAccounts} unsettled accounts"));
        return report.Breaches.Count == 0 ? 0 : 1;
    }

    private static async Task PrintAsync(LedgerVerifier.Report report, TextWriter output)
    {
        await output.WriteLineAsync("currency  home      accounts      postings                   sum");
        foreach (var currency in report.Totals.GroupBy(total => total.Key.Currency))
        {
            foreach (var ((_, home), totals) in currency)
            {
                await output.WriteLineAsync(Line(currency.Key, home, totals.Accounts, totals.Postings, totals.SumMinor));
            }

            await output.WriteLineAsync(Line(
                currency.Key, "all", currency.Sum(total => total.Value.Accounts), currency.Sum(total => total.Value.Postings),
                currency.Aggregate(Int128.Zero, (sum, total) => sum + total.Value.SumMinor)));
        }

        foreach (var breach in report.Breaches)
        {
            await output.WriteLineAsync($"BREACH {breach}");
        }
    }

    private static string Line(string currency, string home, long accounts, long postings, Int128 sumMinor) =>
        string.Create(CultureInfo.InvariantCulture, $"{currency,-8}  {home,-8}  {accounts,8}  {postings,12}  {Format(sumMinor, Currency.Parse(currency)),20}");

    private static string Format(Int128 minor, Currency currency) =>
        minor >= long.MinValue && minor <= long.MaxValue ? new Money((long)minor, currency).ToString() : $"{minor} minor units";
}
