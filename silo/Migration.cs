using System.Diagnostics;
using System.Globalization;
using Banking.Homes;
using EvolveDb;
using Microsoft.Extensions.Configuration;
using MySqlConnector;

namespace Banking;

/// <summary>
/// Brings every home and bank_system to the version of this build: numbered scripts once and in order, grants whenever their
/// file changes, an edited old script refused. One runner at a time by a named lock of the server.
/// </summary>
internal static class Migration
{
    /// <summary>How long a server that is still starting is waited for, and another runner.</summary>
    private static readonly TimeSpan ConnectTimeMax = TimeSpan.FromSeconds(60);
    private const int LockSeconds = 60;
    private const string LockName = "banking-migration";

    public static async Task<int> RunAsync(string[] args, TextWriter output)
    {
        var configuration = new ConfigurationBuilder().AddEnvironmentVariables().AddCommandLine(args).Build();
        var homes = configuration.GetSection("Homes").Get<Dictionary<string, HomeOptions>>() ?? [];
        var running = homes
            .Select(home => MigrateAsync(home.Key, "home", home.Value.SchemaConnectionString, home.Value.ConnectionString))
            .Append(MigrateAsync("bank_system", "system", configuration.GetConnectionString("SystemSchema"), configuration.GetConnectionString("System")));
        var failures = 0;
        await foreach (var outcome in Task.WhenEach(running))
        {
            var (line, isGood) = await outcome;
            await output.WriteLineAsync(line);
            failures += isGood ? 0 : 1;
        }

        return failures == 0 ? 0 : 1;
    }

    public static async Task<(string Line, bool IsGood)> MigrateAsync(string name, string script, string? schemaConnection, string? runtimeConnection, int lockSeconds = LockSeconds)
    {
        var started = Stopwatch.GetTimestamp();
        if (string.IsNullOrEmpty(schemaConnection) || string.IsNullOrEmpty(runtimeConnection))
        {
            return ($"{name}: expected a connection string of the schema user and one of the run-time user", false);
        }

        try
        {
            var settings = new MySqlConnectionStringBuilder(schemaConnection) { Pooling = false, ConnectionTimeout = 5, DefaultCommandTimeout = 600 };
            await using var connection = await ConnectAsync(settings.ConnectionString);
            if (await ExecuteAsync(connection, $"SELECT GET_LOCK('{LockName}', {lockSeconds})") != "1")
            {
                return ($"{name}: another migration has had the server's lock '{LockName}' for {lockSeconds} s; nothing was touched. Wait for it, or end its connection, and run this again", false);
            }

            var applied = await Task.Run(() => Evolve(settings.ConnectionString, script, new MySqlConnectionStringBuilder(runtimeConnection).UserID));
            if (script == "home")
            {
                await ExecuteAsync(connection, "INSERT IGNORE INTO home (singleton, name, created_at) VALUES (1, @name, UTC_TIMESTAMP(6))", ("@name", name));
                var found = await ExecuteAsync(connection, "SELECT name FROM home");
                if (found != name)
                {
                    return ($"{name}: this database carries home {found}; nothing but its schema was touched", false);
                }
            }

            return (string.Create(CultureInfo.InvariantCulture, $"{name}: {applied} scripts applied, {Stopwatch.GetElapsedTime(started).TotalSeconds:F1} s"), true);
        }
        catch (Exception exception) when (exception is MySqlException or EvolveException or TimeoutException)
        {
            return ($"{name}: {exception.Message}", false);
        }
    }

    private static int Evolve(string connectionString, string script, string runtimeUser)
    {
        using var connection = new MySqlConnection(connectionString);
        var evolve = new Evolve(connection)
        {
            EmbeddedResourceAssemblies = [typeof(Migration).Assembly],
            EmbeddedResourceFilters = [$"sql.{script}."],
            IsEraseDisabled = true,
            EnableClusterMode = true,
            MetadataTableName = "changelog",
            CommandTimeout = 600,
            Placeholders = new Dictionary<string, string> { ["${runtime_user}"] = $"'{runtimeUser}'@'{HostOf(connectionString, runtimeUser)}'" },
        };
        evolve.Migrate();
        return evolve.NbMigration;
    }

    /// <summary>The host part under which the run-time user was created on this server.</summary>
    private static string HostOf(string connectionString, string runtimeUser)
    {
        using var connection = new MySqlConnection(connectionString);
        connection.Open();
        using var command = new MySqlCommand("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', -1)", connection);
        return (string)command.ExecuteScalar()!;
    }

    private static async Task<MySqlConnection> ConnectAsync(string connectionString)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            var connection = new MySqlConnection(connectionString);
            try
            {
                await connection.OpenAsync();
                return connection;
            }
            catch (MySqlException exception) when (exception.ErrorCode == MySqlErrorCode.UnableToConnectToHost && Stopwatch.GetElapsedTime(started) < ConnectTimeMax)
            {
                await connection.DisposeAsync();
                await Task.Delay(200);
            }
        }
    }

    private static async Task<string?> ExecuteAsync(MySqlConnection connection, string sql, params (string Name, object Value)[] parameters)
    {
#pragma warning disable CA2100 // constants of this class
        await using var command = new MySqlCommand(sql, connection);
#pragma warning restore CA2100
        foreach (var (name, value) in parameters)
        {
            command.Parameters.AddWithValue(name, value);
        }

        return (await command.ExecuteScalarAsync())?.ToString();
    }
}
