using System.Globalization;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// What a home must be before money is entrusted to it. Runs at every start and whenever a home comes back: a server can
/// return with other settings. Each finding is one sentence that says what to do.
/// </summary>
internal static class HomeCheck
{
    /// <summary>The newest script in sql/home. The silo refuses a home that misses it; <c>migrate</c> brings it.</summary>
    public const int SchemaVersion = 2;

    private const string Variables =
        "SHOW GLOBAL VARIABLES WHERE variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', " +
        "'innodb_doublewrite', 'sql_mode', 'read_only', 'super_read_only', 'wsrep_on', 'max_allowed_packet')";

    private const string Schema =
        "SELECT MAX(CAST(version AS UNSIGNED)) FROM changelog WHERE success = 1 AND version IS NOT NULL";

    private const string Tables =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine <> 'InnoDB'";

    /// <summary>Null for a home that may be used, else what is wrong.</summary>
    public static async Task<string?> RunAsync(MySqlConnection connection, string name, bool allowRelaxed, CancellationToken cancellation)
    {
        var variables = await ReadAsync(connection, Variables, reader => (Name: reader.GetString(0).ToLowerInvariant(), Value: reader.GetString(1)), cancellation);
        var settings = variables.ToDictionary(variable => variable.Name, variable => variable.Value);
        return await CheckSchemaAsync(connection, name, cancellation)
            ?? CheckServer(settings)
            ?? (allowRelaxed ? null : CheckDurability(settings));
    }

    private static async Task<string?> CheckSchemaAsync(MySqlConnection connection, string name, CancellationToken cancellation)
    {
        List<long?> versions;
        List<string> names;
        try
        {
            versions = await ReadAsync(connection, Schema, reader => reader.IsDBNull(0) ? (long?)null : Convert.ToInt64(reader.GetValue(0), CultureInfo.InvariantCulture), cancellation);
            names = await ReadAsync(connection, "SELECT name FROM home", reader => reader.GetString(0), cancellation);
        }
        catch (MySqlException exception) when (exception.ErrorCode is MySqlErrorCode.NoSuchTable or MySqlErrorCode.TableAccessDenied)
        {
            return $"its tables are missing or not granted ({exception.Message}). Run the silo's verb migrate with the schema user.";
        }

        if (names is not [var found])
        {
            return "it does not say which home it is. Run the silo's verb migrate with the schema user.";
        }

        if (found != name)
        {
            return $"it carries the data of home {found}. Point Homes:{name}:ConnectionString at the database of home {name}.";
        }

        if (versions is not [{ } version] || version < SchemaVersion)
        {
            return $"its schema is at version {versions.FirstOrDefault() ?? 0}, this silo needs {SchemaVersion}. Run the silo's verb migrate with the schema user.";
        }

        var others = await ReadAsync(connection, Tables, reader => reader.GetString(0), cancellation);
        return others.Count == 0 ? null : $"its tables {string.Join(", ", others)} are not InnoDB and cannot roll back. Convert them: ALTER TABLE … ENGINE = InnoDB.";
    }

    private static string? CheckServer(Dictionary<string, string> settings)
    {
        if (IsOn(settings, "read_only") || IsOn(settings, "super_read_only"))
        {
            return "it is read-only, as a replica is. Point the connection string at the primary server.";
        }

        if (long.Parse(settings["max_allowed_packet"], CultureInfo.InvariantCulture) < EngineLimits.PacketBytesMin)
        {
            return $"max_allowed_packet is {settings["max_allowed_packet"]}: the writes of many accounts would not fit into one. Set it to at least {EngineLimits.PacketBytesMin} on the server.";
        }

        return IsOn(settings, "wsrep_on")
            ? "it is a Galera node, which can lose acknowledged commits and breaks row locks across nodes. Use a server with its own storage."
            : null;
    }

    private static string? CheckDurability(Dictionary<string, string> settings)
    {
        const string Or = " To accept that for data that may be lost, set AllowRelaxedDurability of this home.";
        if (settings["innodb_flush_log_at_trx_commit"] != "1")
        {
            return $"innodb_flush_log_at_trx_commit is {settings["innodb_flush_log_at_trx_commit"]}: a power cut loses acknowledged commits. Set it to 1 on the server." + Or;
        }

        if (IsOn(settings, "log_bin") && settings["sync_binlog"] != "1")
        {
            return $"the binary log is on and sync_binlog is {settings["sync_binlog"]}: a power cut loses acknowledged commits. Set sync_binlog to 1 on the server." + Or;
        }

        if (settings.TryGetValue("innodb_doublewrite", out var doublewrite) && doublewrite is "0" or "OFF")
        {
            return "innodb_doublewrite is off: a power cut can tear pages. Set it to ON on the server." + Or;
        }

        return settings["sql_mode"].Contains("STRICT_TRANS_TABLES", StringComparison.Ordinal) || settings["sql_mode"].Contains("STRICT_ALL_TABLES", StringComparison.Ordinal)
            ? null
            : "sql_mode is not strict: values that do not fit are cut silently by other clients. Add STRICT_TRANS_TABLES to sql_mode on the server." + Or;
    }

    private static bool IsOn(Dictionary<string, string> settings, string name) =>
        settings.TryGetValue(name, out var value) && value is "1" or "ON";

    private static async Task<List<T>> ReadAsync<T>(MySqlConnection connection, string sql, Func<MySqlDataReader, T> read, CancellationToken cancellation)
    {
        using var command = new SqlBatch();
        await using var reader = await command.Add(sql).ReadAsync(connection, cancellation);
        var rows = new List<T>();
        while (await reader.ReadAsync(cancellation))
        {
            rows.Add(read(reader));
        }

        return rows;
    }
}
