using System.Globalization;
using System.Text;

namespace Banking.Homes;

/// <summary>
/// A table with one row per transactional state: eight engine columns, the same in every such table, then the columns
/// of the state. Rows travel as value arrays in column order.
/// </summary>
internal abstract class StateTable
{
    /// <summary>Column positions that all state tables share. The key column has the table's own name for it.</summary>
    public const int Key = 0, Version = 1, Fence = 2, OperationId = 3, Sequence = 4, TransactionTime = 5, CommitRecords = 6, UnsettledSince = 7;

    /// <summary>How many columns come before those of the state.</summary>
    public const int EngineColumns = 8;

    protected StateTable(string name, string keyColumn, params ReadOnlySpan<string> stateColumns)
    {
        Name = name;
        KeyColumn = keyColumn;
        string[] columns =
            [keyColumn, "version", "fence", "operation_id", "sequence", "transaction_time", "commit_records", "unsettled_since", .. stateColumns];
        ColumnCount = columns.Length;
        var list = string.Join(", ", columns);
        var placeholders = "(" + string.Join(", ", columns.Select(_ => "?")) + ")";
        var updates = string.Join(", ", columns.Skip(1).Select(column => $"{column} = VALUES({column})"));

        RowPlaceholders = placeholders;
        SelectVersions = $"SELECT {keyColumn}, version, fence, operation_id FROM {name} FORCE INDEX (PRIMARY) WHERE {keyColumn} IN ";
        SelectRows = $"SELECT {list} FROM {name} FORCE INDEX (PRIMARY) WHERE {keyColumn} IN ";
        InsertRows = $"INSERT INTO {name} ({list}) VALUES ";
        OnDuplicateUpdate = $" ON DUPLICATE KEY UPDATE {updates}";
        BumpFences = $"UPDATE {name} SET fence = fence + 1 WHERE {keyColumn} IN ";
        SelectUnsettled = $"SELECT {keyColumn} FROM {name} WHERE unsettled_since < ? ORDER BY unsettled_since LIMIT ?";
    }

    public string Name { get; }

    public string KeyColumn { get; }

    public int ColumnCount { get; }

    public string RowPlaceholders { get; }

    public string SelectVersions { get; }

    public string SelectRows { get; }

    public string InsertRows { get; }

    public string OnDuplicateUpdate { get; }

    public string BumpFences { get; }

    public string SelectUnsettled { get; }
}

/// <summary>How one type of state maps to its table.</summary>
internal abstract class StateTable<TState> : StateTable where TState : class, new()
{
    protected StateTable(string name, string keyColumn, params ReadOnlySpan<string> stateColumns) : base(name, keyColumn, stateColumns)
    {
    }

    /// <summary>Writes the committed state behind the engine columns of <paramref name="row"/>.</summary>
    public abstract void Write(string key, TState committed, object?[] row);

    /// <summary>Reads the committed state of a row.</summary>
    public abstract TState Read(object?[] row);

    /// <summary>
    /// The state as the text of a pending row. What the pending row before it has already need not be in it: that row is there
    /// for as long as this one waits, or is committed.
    /// </summary>
    public abstract string Serialize(TState state, TState? behind);

    /// <summary>The state of a pending row, complete.</summary>
    public abstract TState Deserialize(string text, TState? behind);

    /// <summary>
    /// The rows that must go along when a row changes from one content to the next. Throws when the new state does not
    /// follow from the old one; then nothing is written.
    /// </summary>
    public virtual LedgerChange Explain(string key, StateRow<TState> before, StateRow<TState> after) => LedgerChange.None;
}

/// <summary>What one instance of the storage knows to be in MySQL. Immutable; replaced as a whole.</summary>
internal sealed record StateRow<TState>(
    long Version,
    long Fence,
    long Sequence,
    TState Committed,
    IReadOnlyList<PendingState<TState>> Pending,
    StoredMetadata Metadata)
    where TState : class, new()
{
    /// <summary>The content of a row that does not exist.</summary>
    public static StateRow<TState> Absent { get; } = new(0, 0, 0, new TState(), [], StoredMetadata.Empty);

    public bool IsAbsent => Version == 0;

    /// <summary>The ETag is the version; a row that does not exist has none.</summary>
    public string? ETag => IsAbsent ? null : Version.ToString(CultureInfo.InvariantCulture);

    /// <summary>When the oldest pending state or commit record began, for the sweep.</summary>
    public DateTime? UnsettledSince
    {
        get
        {
            var oldest = Metadata.OldestTicks;
            foreach (var pending in Pending)
            {
                oldest = Math.Min(oldest, pending.TimeTicks);
            }

            return oldest == long.MaxValue ? null : new DateTime(oldest - (oldest % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
        }
    }
}

/// <summary>A prepared state; <paramref name="Manager"/> is null where this participant itself decides.</summary>
internal sealed record PendingState<TState>(long Sequence, Guid TransactionId, long TimeTicks, ManagerReference? Manager, TState State);

/// <summary>Ledger rows that a write of an account brings along, as value arrays in the column order of <see cref="Statements"/>.</summary>
internal sealed record LedgerChange(
    IReadOnlyList<object?[]> Postings,
    IReadOnlyList<object?[]> NewTransfers,
    IReadOnlyList<(string Source, long Number)> PostedTransfers,
    IReadOnlyList<(string Source, long Number)> CancelledTransfers)
{
    public static LedgerChange None { get; } = new([], [], [], []);
}

/// <summary>
/// Any other transactional state: one JSON text per row of <c>grain_state</c>. The key is the state's name and the grain's
/// key, such as <c>hold/A-…</c>; a slash never occurs in an account number, so pending rows of both tables share one table.
/// </summary>
internal sealed class GrainStateTable<TState> : StateTable<TState> where TState : class, new()
{
    private GrainStateTable() : base("grain_state", "state_key", "state")
    {
    }

    public static GrainStateTable<TState> Instance { get; } = new();

    public override void Write(string key, TState committed, object?[] row) => row[EngineColumns] = Serialize(committed, null);

    public override TState Read(object?[] row) => Deserialize((string)row[EngineColumns]!, null);

    public override string Serialize(TState state, TState? behind) => System.Text.Json.JsonSerializer.Serialize(state);

    public override TState Deserialize(string text, TState? behind) =>
        System.Text.Json.JsonSerializer.Deserialize<TState>(text) ?? throw new FormatException("Expected a state, got null.");
}

internal static class SqlText
{
    /// <summary>Appends <c>(?, ?, …)</c>.</summary>
    public static StringBuilder AppendPlaceholders(this StringBuilder sql, int count)
    {
        sql.Append('(');
        for (var index = 0; index < count; index++)
        {
            sql.Append(index == 0 ? "?" : ", ?");
        }

        return sql.Append(')');
    }
}
