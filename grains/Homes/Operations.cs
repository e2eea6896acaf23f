using System.Diagnostics;
using Orleans.Storage;

namespace Banking.Homes;

/// <summary>How an operation failed, in the terms that the engine's rules know.</summary>
internal enum FailureKind
{
    /// <summary>Somebody else wrote or loaded the row: the instance is stale for good (rule 3.7).</summary>
    Conflict,
    /// <summary>The home did not answer, or not in time. What is durable is not known.</summary>
    Unavailable,
    /// <summary>The server refused the statement; nothing was written.</summary>
    Refused,
}

/// <summary>Something that waits in a home's queue. Each caller gets an exception of its own.</summary>
internal abstract class HomeOperation(StateTable table, string key)
{
    private readonly TaskCompletionSource completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public StateTable Table { get; } = table;

    public string Key { get; } = key;

    public Task Completion => completion.Task;

    /// <summary>When it entered the queue, for the metrics.</summary>
    public long EnqueuedAt { get; } = Stopwatch.GetTimestamp();

    /// <summary>The most bytes that it adds to the text of the batch.</summary>
    public virtual long Bytes => 512;

    public virtual void Succeed() => completion.TrySetResult();

    /// <summary>The exception may cross silos, so it carries text and no exception of the driver, which has no serializer.</summary>
    public virtual void Fail(FailureKind kind, string message) => completion.TrySetException(kind switch
    {
        FailureKind.Conflict => new InconsistentStateException(MaskedText.Of(message), MaskedText.Of(Key), ""),
        FailureKind.Unavailable => new HomeUnavailableException(MaskedText.Of(message)),
        _ => new InvalidOperationException(MaskedText.Of(message)),
    });
}

/// <summary>One write of one state row with all that goes along. Everything in it is serialized: nothing is live.</summary>
internal sealed class StoreOperation(StateTable table, string key, object?[] row, long expectedVersion, long expectedFence, Guid operationId)
    : HomeOperation(table, key)
{
    /// <summary>A key of 190 characters, a number, and the text around them.</summary>
    private const long PairSize = 700;

    private long? bytes;

    public object?[] Row { get; } = row;

    public long ExpectedVersion { get; } = expectedVersion;

    public long ExpectedFence { get; } = expectedFence;

    public Guid OperationId { get; } = operationId;

    /// <summary>Rule 3.4: a row that should be absent is written by a plain INSERT.</summary>
    public bool ExpectsAbsent => ExpectedVersion == 0;

    /// <summary>A flush of metadata that nobody waits for; it leaves the version as it is.</summary>
    public bool IsFlush { get; init; }

    public IReadOnlyList<object?[]> NewPending { get; init; } = [];

    public IReadOnlyList<long> RemovedPending { get; init; } = [];

    public LedgerChange Ledger { get; init; } = LedgerChange.None;

    /// <summary>Rule 3.8: transactions that this write decides; refused if one of them was cancelled.</summary>
    public IReadOnlyList<Guid> NewCommits { get; init; } = [];

    public override long Bytes => bytes ??=
        base.Bytes + SizeOf(Row) + NewPending.Sum(SizeOf) + Ledger.Postings.Sum(SizeOf) + Ledger.NewTransfers.Sum(SizeOf) +
        (PairSize * (RemovedPending.Count + NewCommits.Count + Ledger.PostedTransfers.Count + Ledger.CancelledTransfers.Count));

    /// <summary>The same flush to be tried again; an operation completes only once.</summary>
    public StoreOperation Again() => new(Table, Key, Row, ExpectedVersion, ExpectedFence, OperationId) { IsFlush = IsFlush };

    public bool IsExpected(RowVersion found) => found.Version == ExpectedVersion && found.Fence == ExpectedFence;

    /// <summary>Whether the row shows that exactly this write is durable or about to be.</summary>
    public bool HasLanded(RowVersion found) => !IsFlush && found.Version == ExpectedVersion + 1 && found.OperationId == OperationId;

    /// <summary>Values travel as text: a character takes at most three bytes, one of ASCII two when it is escaped, as any other byte.</summary>
    private static long SizeOf(object?[] values) => values.Sum(value => value switch
    {
        string text => 4 + (3L * text.Length),
        byte[] binary => 16 + (2L * binary.Length),
        _ => 40L,
    });
}

/// <summary>Reads one row with its pending states and fences off every writer that read it before (rule 3.7).</summary>
internal sealed class LoadOperation(StateTable table, string key) : HomeOperation(table, key)
{
    /// <summary>The row in column order; null when there is none.</summary>
    public object?[]? Row { get; set; }

    public List<object?[]> Pending { get; } = [];

    /// <summary>Whether the row is locked by this transaction; one that is not may be absent or somebody else's.</summary>
    public bool IsLocked { get; set; }

    public void Reset()
    {
        Row = null;
        Pending.Clear();
    }
}

/// <summary>What the lock of a row shows.</summary>
internal readonly record struct RowVersion(long Version, long Fence, Guid OperationId);
