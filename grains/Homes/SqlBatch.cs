using System.Text;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>Several statements sent in one round trip. Text is made of constants only; every value is a parameter.</summary>
internal sealed class SqlBatch(int timeoutSeconds = EngineLimits.SqlTimeoutSeconds) : IDisposable
{
    private readonly MySqlCommand command = new() { CommandTimeout = timeoutSeconds };
    private readonly StringBuilder sql = new(512);

    public SqlBatch Add(string text)
    {
        sql.Append(text);
        return this;
    }

    public SqlBatch End()
    {
        sql.Append("; ");
        return this;
    }

    /// <summary>Appends <c>(?, ?, …)</c> with its values, for IN.</summary>
    public SqlBatch AddKeys<T>(IReadOnlyCollection<T> keys)
    {
        sql.AppendPlaceholders(keys.Count);
        foreach (var key in keys)
        {
            Bind(key);
        }

        return this;
    }

    /// <summary>Appends <c>(?, …), (?, …)</c> with the rows' values, for VALUES.</summary>
    public SqlBatch AddRows(IEnumerable<object?[]> rows, int columns)
    {
        var first = true;
        foreach (var row in rows)
        {
            sql.Append(first ? "" : ", ").AppendPlaceholders(columns);
            first = false;
            foreach (var value in row)
            {
                Bind(value);
            }
        }

        return this;
    }

    /// <summary>
    /// Appends <c>(a = ? AND b = ?) OR …</c> in parentheses. Not a row constructor: with a single tuple MariaDB 10.11 scans the
    /// whole table for UPDATE and DELETE … WHERE (a, b) IN ((?, ?)).
    /// </summary>
    public SqlBatch AddPairs<T>(string keyColumn, string otherColumn, IReadOnlyCollection<(string Key, T Other)> pairs)
    {
        sql.Append('(');
        var first = true;
        foreach (var (key, other) in pairs)
        {
            sql.Append(first ? "(" : " OR (").Append(keyColumn).Append(" = ? AND ").Append(otherColumn).Append(" = ?)");
            first = false;
            Bind(key);
            Bind(other);
        }

        sql.Append(')');
        return this;
    }

    public SqlBatch Bind(object? value)
    {
        command.Parameters.Add(new MySqlParameter { Value = value ?? DBNull.Value });
        return this;
    }

    public Task<MySqlDataReader> ReadAsync(MySqlConnection connection, CancellationToken cancellation = default) =>
        Prepare(connection).ExecuteReaderAsync(cancellation);

    public Task<int> ExecuteAsync(MySqlConnection connection, CancellationToken cancellation = default) =>
        Prepare(connection).ExecuteNonQueryAsync(cancellation);

    public void Dispose() => command.Dispose();

    private MySqlCommand Prepare(MySqlConnection connection)
    {
        command.Connection = connection;
#pragma warning disable CA2100 // built from the constants of Statements and StateTable; values are bound, never appended
        command.CommandText = sql.ToString();
#pragma warning restore CA2100
        return command;
    }
}
