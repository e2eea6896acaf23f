using System.Globalization;
using Microsoft.Extensions.Configuration;
using MySqlConnector;

namespace Banking.Bench;

/// <summary>Counters that only grow: CPU time by process, commits and writes by home.</summary>
internal sealed record Reading(IReadOnlyDictionary<string, double> CpuMs, IReadOnlyDictionary<string, long> Commits, IReadOnlyDictionary<string, long> Writes);

/// <summary>Reads the counters from outside: from /proc and from the homes' servers.</summary>
internal sealed class Meters(IReadOnlyDictionary<string, int> processes, IReadOnlyDictionary<string, string> homes)
{
    /// <summary>Linux counts CPU time in ticks of 10 ms (USER_HZ), whatever its timer does.</summary>
    private const double TickMs = 10;

    /// <summary>
    /// Com_commit counts COMMIT statements, on MySQL and MariaDB alike, so look-ups (which commit by themselves) are not in it.
    /// Every write of an account raises its version by one, but for flushes of metadata that nobody waits for.
    /// </summary>
    private const string Counters = "SHOW GLOBAL STATUS LIKE 'Com_commit'; SELECT CAST(SUM(version) AS SIGNED) FROM account";

    public static Meters Of(IConfiguration configuration, BenchOptions options)
    {
        var homes = configuration.GetSection("Homes").GetChildren()
            .ToDictionary(home => home.Key, home => home["ConnectionString"] ?? throw new InvalidOperationException($"Expected Homes:{home.Key}:ConnectionString."));
        return new Meters(new Dictionary<string, int>(options.Processes) { ["client"] = Environment.ProcessId }, homes);
    }

    public async Task<Reading> ReadAsync()
    {
        var commits = new Dictionary<string, long>();
        var writes = new Dictionary<string, long>();
        foreach (var (home, connectionString) in homes)
        {
            (commits[home], writes[home]) = await CountAsync(connectionString);
        }

        return new Reading(processes.ToDictionary(process => process.Key, process => CpuMs(process.Value)), commits, writes);
    }

    private static async Task<(long Commits, long Writes)> CountAsync(string connectionString)
    {
        await using var connection = new MySqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new MySqlCommand(Counters, connection);
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        var commits = long.Parse(reader.GetString(1), CultureInfo.InvariantCulture);
        await reader.NextResultAsync();
        await reader.ReadAsync();
        return (commits, reader.GetInt64(0));
    }

    private static double CpuMs(int pid)
    {
        // What follows the last ")" are the fields 3 and on; 14 and 15 are user and system time. A command name may contain ")".
        var stat = File.ReadAllText($"/proc/{pid}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return TickMs * (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture));
    }
}
