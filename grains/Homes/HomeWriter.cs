using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// The one writer of a home on a silo: writes of many accounts go in one MySQL transaction and share one flush to disk.
/// </summary>
/// <remarks>
/// Phases of a batch, two round trips:
/// <list type="number">
/// <item>lock the rows of all members and read version, fence and operation id, skipping rows that others have locked; then look
/// for cancelled transactions, if a member decides one;</item>
/// <item>sort the members: a row that is not as expected = conflict of that member alone (3.4, 3.7); a decision about a cancelled
/// transaction is refused (3.8); a row that was skipped leaves the batch and goes alone with a short wait; the rest is written with
/// multi-row statements and committed.</item>
/// </list>
/// When the server refuses a statement (duplicate key, CHECK, lock time-out, whatever it is) the batch is rolled back and its members
/// go alone, one after the other. When the connection breaks before the commit was answered, the rows are read again under lock and
/// each member's fate is decided (section 4, "commit of unknown outcome").
/// Order: the operations of one row are written in the order in which they came.
/// Bounds: <see cref="EngineLimits"/>.
/// </remarks>
internal sealed partial class HomeWriter : IAsyncDisposable
{
    private readonly Home home;
    private readonly ILogger logger;
    private readonly string writerName;
    private readonly HomeSeams seams;
    private readonly Channel<HomeOperation> queue = Channel.CreateBounded<HomeOperation>(
        new BoundedChannelOptions(EngineLimits.QueueMax) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private readonly DeferredMetadata deferred;

    /// <summary>Rows whose operations go alone at present, each with the last of them: what comes later goes alone behind it.</summary>
    private readonly Dictionary<string, (HomeOperation Last, Task Done)> alone = [];
    private readonly SemaphoreSlim aloneSlots = new(EngineLimits.AloneMax);
    private readonly CancellationTokenSource stopping = new();
    private readonly Task writing;
    private int queued, goingAlone;

    public HomeWriter(Home home, string writerName, ILogger logger)
    {
        (this.home, this.writerName, this.logger, seams) = (home, writerName, logger, home.Seams);
        deferred = new DeferredMetadata(home, Enqueue, logger);
        writing = Task.Run(WriteAsync);
    }

    /// <summary>Operations that wait or are being written.</summary>
    public int Queued => Volatile.Read(ref queued);

    /// <summary>Queues a write. A flush of the same row that still waits is superseded: the write carries newer metadata.</summary>
    public Task StoreAsync(StoreOperation operation)
    {
        deferred.Drop(operation.Key);
        return Enqueue(seams.Rewrite?.Invoke(operation) ?? operation);
    }

    /// <summary>Queues a load, behind a flush of the same row that still waits.</summary>
    public async Task<LoadOperation> LoadAsync(StateTable table, string key)
    {
        if (!home.IsAvailable)
        {
            throw new HomeUnavailableException(MaskedText.Of($"Home {home.Name} is not available: {home.Reason}. Nothing was read for {key}."));
        }

        deferred.FlushNow(key);
        var load = new LoadOperation(table, key);
        await Enqueue(load);
        return load;
    }

    /// <summary>Rule 3.9: takes metadata that may wait.</summary>
    public void Defer(StoreOperation flush) => deferred.Add(flush);

    public async ValueTask DisposeAsync()
    {
        await deferred.DisposeAsync();
        await stopping.CancelAsync();
        queue.Writer.TryComplete();
        await writing;
        Task[] last;
        lock (alone)
        {
            last = [.. alone.Values.Select(row => row.Done)];
        }

        await Task.WhenAll(last);
        stopping.Dispose();
        aloneSlots.Dispose();
    }

    private Task Enqueue(HomeOperation operation)
    {
        if (operation.Bytes > EngineLimits.OperationBytesMax)
        {
            operation.Fail(FailureKind.Refused, $"Expected at most {EngineLimits.OperationBytesMax} bytes in one write, got up to {operation.Bytes} for {operation.Key}. Nothing was written.");
            return operation.Completion;
        }

        Interlocked.Increment(ref queued);
        if (!queue.Writer.TryWrite(operation))
        {
            Interlocked.Decrement(ref queued);
            operation.Fail(FailureKind.Unavailable, $"Home {home.Name} has {EngineLimits.QueueMax} writes queued, or is stopping. Nothing was written for {operation.Key}.");
        }

        return operation.Completion;
    }

    private async Task WriteAsync()
    {
        await using var kept = new KeptConnection(home);
        var carried = new Queue<HomeOperation>();
        while (carried.Count > 0 || await queue.Reader.WaitToReadAsync())
        {
            var batch = TakeBatch(carried);
            await ExecuteAsync(kept, batch, isAlone: false);
            Interlocked.Add(ref queued, -batch.Count);
        }
    }

    /// <summary>
    /// At most one operation per row in a batch, and no more text than a packet takes; what does not fit waits for the next, in
    /// order. What comes for a row whose operations go alone goes behind them.
    /// </summary>
    private List<HomeOperation> TakeBatch(Queue<HomeOperation> carried)
    {
        var batch = new List<HomeOperation>();
        var keys = new HashSet<string>();
        var (bytes, isFull) = (0L, false);
        for (var left = carried.Count; left > 0; left--)
        {
            Take(carried.Dequeue());
        }

        while (!isFull && carried.Count < EngineLimits.BatchMax && queue.Reader.TryRead(out var operation))
        {
            Take(operation);
        }

        // One order for everybody: two silos that lock the same rows never wait for each other in a circle.
        batch.Sort((left, right) => string.CompareOrdinal(left.Key, right.Key));
        return batch;

        void Take(HomeOperation operation)
        {
            var isNextOfItsRow = keys.Add(operation.Key);
            if (isNextOfItsRow && TryGoBehind(operation))
            {
                keys.Remove(operation.Key);
            }
            else if (!isNextOfItsRow || isFull || (batch.Count > 0 && bytes + operation.Bytes > EngineLimits.BatchBytesMax))
            {
                isFull |= isNextOfItsRow;
                carried.Enqueue(operation);
            }
            else
            {
                batch.Add(operation);
                bytes += operation.Bytes;
                isFull = batch.Count == EngineLimits.BatchMax;
            }
        }
    }

    /// <summary>Writes a batch and tells every member its outcome, whatever happens. A connection that failed is closed.</summary>
    /// <param name="kept">Where the connection comes from.</param>
    /// <param name="batch">The members.</param>
    /// <param name="isAlone">One member that had to leave its batch: it waits for locks, up to the lock wait of the session.</param>
    private async Task ExecuteAsync(KeptConnection kept, List<HomeOperation> batch, bool isAlone)
    {
        if (batch.Count == 0)
        {
            return;
        }

        var started = Stopwatch.GetTimestamp();
        var (members, commitSent) = (batch, false);
        try
        {
            var connection = await kept.OpenAsync(stopping.Token);
            var (locked, refusal) = await LockAsync(connection, batch, isAlone);
            if (refusal is null && locked.Count > 0)
            {
                (members, commitSent) = (locked, true);
                refusal = await CommitAsync(connection, members, isAlone);
                commitSent = false;
            }

            if (refusal is null && locked.Count > 0)
            {
                members.ForEach(member => member.Succeed());
                home.Instruments.BatchWritten(home.Name, members.Count, Stopwatch.GetElapsedTime(started));
                return;
            }

            // Always before anything else: after a lock time-out the server has undone only the one statement.
            await RollbackAsync(connection);
            if (refusal is not null)
            {
                await SplitAsync(kept, members, refusal, isAlone);
            }
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            // Whatever went wrong with one batch must not stop the writer: everybody behind it would wait for ever.
            LogBatchFailed(home.Name, members.Count, exception.GetType().Name, MaskedText.Of(exception.Message));
            home.ReportFailure(exception.Message);
            await kept.DisposeAsync();
            if (commitSent)
            {
                await ResolveAsync(members, exception);
            }
            else
            {
                FailAll(members, FailureKind.Unavailable, $"Home {home.Name} failed before the commit: {exception.Message}");
            }
        }
    }

    /// <summary>The server refused a statement and nothing is committed. Only the member at fault must fail, so each goes alone.</summary>
    private async Task SplitAsync(KeptConnection kept, List<HomeOperation> members, MySqlException refusal, bool isAlone)
    {
        if (isAlone)
        {
            FailDefinitely(members[0], refusal);
            return;
        }

        LogBatchSplit(home.Name, members.Count, refusal.ErrorCode.ToString(), MaskedText.Of(refusal.Message));
        foreach (var member in members)
        {
            await ExecuteAsync(kept, [member], isAlone: true);
        }
    }

    /// <summary>
    /// First round trip: locks what can be locked and returns the members that may be written, or the server's refusal.
    /// </summary>
    private async Task<(List<HomeOperation> Members, MySqlException? Refusal)> LockAsync(MySqlConnection connection, List<HomeOperation> batch, bool wait)
    {
        LockedRows rows;
        try
        {
            rows = await ReadRowsAsync(connection, batch, wait);
        }
        catch (MySqlException exception) when (IsFromServer(exception, connection))
        {
            return (batch, exception);
        }

        var members = new List<HomeOperation>(batch.Count);
        foreach (var operation in batch)
        {
            var isFound = rows.Versions.TryGetValue(operation.Key, out var version);
            switch (operation)
            {
                case LoadOperation:
                    members.Add(operation); // one that was not found is absent or skipped; the second round trip tells
                    break;
                case StoreOperation store when isFound ? store.IsExpected(version) : store.ExpectsAbsent:
                    if (!RefuseIfCancelled(store, rows))
                    {
                        members.Add(operation);
                    }

                    break;
                case StoreOperation store when isFound:
                    store.Fail(FailureKind.Conflict, $"Expected {Describe(store)}, found version {version.Version} and fence {version.Fence}. Another activation owns the row.");
                    break;
                case var skipped when !wait:
                    GoAlone(skipped);
                    break;
                default:
                    operation.Fail(FailureKind.Conflict, $"Expected {Describe((StoreOperation)operation)}, found no such row.");
                    break;
            }
        }

        return (members, null);
    }

    /// <summary>Rule 3.8. Not a conflict: the activation owns the row, it must only load and forget the transaction.</summary>
    private static bool RefuseIfCancelled(StoreOperation store, LockedRows rows)
    {
        foreach (var transaction in store.NewCommits.Where(transaction => rows.Cancelled.Contains((store.Key, transaction))))
        {
            store.Fail(FailureKind.Refused, $"Expected transaction {transaction} of {store.Key} to be open, its participants were told that it never commits. Nothing was written.");
            return true;
        }

        return false;
    }

    private async Task<LockedRows> ReadRowsAsync(MySqlConnection connection, List<HomeOperation> batch, bool wait)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.Begin);
        var tables = batch.Where(operation => seams.Fences || operation is StoreOperation).GroupBy(operation => operation.Table).ToList();
        foreach (var table in tables)
        {
            sql.Add(table.Key.SelectVersions).AddKeys(table.Select(operation => operation.Key).ToList());
            sql.Add(wait ? Statements.ForUpdate : Statements.ForUpdateSkipLocked).End();
        }

        // Behind the locks: who cancels a transaction does it under the lock of its manager's row.
        var decisions = batch.OfType<StoreOperation>().SelectMany(store => store.NewCommits.Select(transaction => (store.Key, transaction.ToByteArray(bigEndian: true)))).ToList();
        if (decisions.Count > 0)
        {
            sql.Add(Statements.SelectCancelled).AddPairs("account", "transaction_id", decisions);
        }

        var rows = new LockedRows(new Dictionary<string, RowVersion>(batch.Count), []);
        await using var reader = await sql.ReadAsync(connection);
        foreach (var _ in tables)
        {
            while (await reader.ReadAsync())
            {
                rows.Versions[reader.GetString(0)] = new RowVersion(reader.GetInt64(1), reader.GetInt64(2), ReadGuid(reader, 3));
            }

            await reader.NextResultAsync();
        }

        while (decisions.Count > 0 && await reader.ReadAsync())
        {
            rows.Cancelled.Add((reader.GetString(0), ReadGuid(reader, 1)));
        }

        foreach (var load in batch.OfType<LoadOperation>())
        {
            load.Reset();
            load.IsLocked = rows.Versions.ContainsKey(load.Key) || !seams.Fences;
        }

        return rows;
    }

    /// <summary>
    /// Second round trip: writes, reads what loads want, and commits. Returns null when that is done, else the server's refusal
    /// of a statement before the COMMIT. Statements of one packet run in order and a failed one ends it: while the result set
    /// in front of the COMMIT has not come, the COMMIT has not run. An error behind it is one of unknown outcome, and is thrown.
    /// </summary>
    private async Task<MySqlException?> CommitAsync(MySqlConnection connection, List<HomeOperation> members, bool isAlone, bool mark = false)
    {
        if (seams.Locked is { } locked)
        {
            await locked(home.Name, members);
        }

        using var sql = new SqlBatch();
        BatchStatements.AppendStores(sql, [.. members.OfType<StoreOperation>()]);
        if (mark)
        {
            sql.Add(Statements.Mark).Bind(writerName).End();
        }

        var loads = members.OfType<LoadOperation>().ToList();
        BatchStatements.AppendLoads(sql, loads, seams.Fences);
        sql.Add(Statements.BeforeCommit).Add("COMMIT");
        var isCommitReached = false;
        try
        {
            await using var reader = await sql.ReadAsync(connection);
            await BatchStatements.ReadLoadsAsync(reader, loads);
            isCommitReached = true;
            while (await reader.NextResultAsync())
            {
                // Runs the COMMIT.
            }
        }
        catch (MySqlException exception) when (!isCommitReached && IsFromServer(exception, connection))
        {
            return exception;
        }

        foreach (var load in loads.Where(load => load is { IsLocked: false, Row: not null }).ToList())
        {
            // Skipped is not absent: the row exists, somebody else had it locked. The load must wait for them and fence them off.
            members.Remove(load);
            if (isAlone)
            {
                load.Fail(FailureKind.Unavailable, $"{load.Key} was made while it was loaded. Load it again.");
            }
            else
            {
                GoAlone(load);
            }
        }

        if (seams.Committed is { } committed)
        {
            await committed(home.Name, members);
        }

        return null;
    }

    private bool TryGoBehind(HomeOperation operation)
    {
        lock (alone)
        {
            if (!alone.ContainsKey(operation.Key))
            {
                return false;
            }
        }

        GoAlone(operation);
        Interlocked.Decrement(ref queued);
        return true;
    }

    /// <summary>Gives an operation a connection of its own, behind what goes alone for its row already.</summary>
    private void GoAlone(HomeOperation operation)
    {
        lock (alone)
        {
            if (goingAlone >= EngineLimits.AloneWaitingMax)
            {
                operation.Fail(FailureKind.Unavailable, $"Home {home.Name} has {EngineLimits.AloneWaitingMax} operations that wait for rows which others have locked. Nothing was written for {operation.Key}.");
                return;
            }

            goingAlone++;
            var before = alone.TryGetValue(operation.Key, out var row) ? row.Done : Task.CompletedTask;
            alone[operation.Key] = (operation, GoAloneAsync(operation, before));
        }
    }

    private async Task GoAloneAsync(HomeOperation operation, Task before)
    {
        await Task.Yield();
        await before;
        await aloneSlots.WaitAsync();
        try
        {
            await using var kept = new KeptConnection(home);
            await ExecuteAsync(kept, [operation], isAlone: true);
        }
        finally
        {
            aloneSlots.Release();
            lock (alone)
            {
                goingAlone--;
                if (alone[operation.Key].Last == operation)
                {
                    alone.Remove(operation.Key);
                }
            }
        }
    }

    /// <summary>
    /// A commit of unknown outcome: reads the rows again under lock, which waits for the old transaction, and decides per
    /// member. What landed is told only after a later commit on that server is durable: a commit can be visible before it is.
    /// </summary>
    private async Task ResolveAsync(List<HomeOperation> members, Exception cause)
    {
        LogOutcomeUnknown(home.Name, members.Count, MaskedText.Of(cause.Message));
        for (var attempt = 1; attempt <= EngineLimits.ResolveAttemptsMax; attempt++)
        {
            try
            {
                await using var connection = await home.OpenAsync(stopping.Token);
                var rows = await ReadRowsAsync(connection, members, wait: true);
                var landed = members.OfType<StoreOperation>().Where(store => rows.Versions.TryGetValue(store.Key, out var version) && store.HasLanded(version)).ToList();
                var lost = members.OfType<StoreOperation>().Except(landed).Where(store =>
                    rows.Versions.TryGetValue(store.Key, out var version) ? !store.IsExpected(version) : !store.ExpectsAbsent).ToList();
                var cancelled = members.OfType<StoreOperation>().Except(landed).Except(lost).Where(store => RefuseIfCancelled(store, rows)).ToList();
                var again = members.Except(landed).Except(lost).Except(cancelled).ToList();
                if (await CommitAsync(connection, again, isAlone: true, mark: true) is { } refusal)
                {
                    throw refusal;
                }

                landed.ForEach(store => store.Succeed());
                again.ForEach(member => member.Succeed());
                lost.ForEach(store => store.Fail(FailureKind.Conflict, $"Expected {Describe(store)} after a lost connection, found another. Another activation owns the row."));
                return;
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                LogResolveFailed(home.Name, attempt, MaskedText.Of(exception.Message));
                cause = exception;
            }
        }

        // Not a conflict: the write may have landed. The guard of each instance makes it load before it writes again.
        FailAll(members, FailureKind.Unavailable, $"Home {home.Name} lost the connection while committing, and did not say in {EngineLimits.ResolveAttemptsMax} attempts what became of it: {cause.Message}");
    }

    private static async Task RollbackAsync(MySqlConnection connection)
    {
        using var sql = new SqlBatch();
        await sql.Add("ROLLBACK").ExecuteAsync(connection);
    }

    private static void FailDefinitely(HomeOperation operation, MySqlException refusal)
    {
        var (kind, what) = refusal.ErrorCode switch
        {
            MySqlErrorCode.DuplicateKeyEntry => (FailureKind.Conflict, "a row exists already that this write was to make"),
            MySqlErrorCode.LockWaitTimeout or MySqlErrorCode.LockDeadlock => (FailureKind.Unavailable, "the row is locked by somebody else"),
            MySqlErrorCode.ServerShutdown or MySqlErrorCode.QueryInterrupted or MySqlErrorCode.DiskFull or MySqlErrorCode.RecordFileFull or
                MySqlErrorCode.OptionPreventsStatement => (FailureKind.Unavailable, "the server cannot write at present"),
            _ => (FailureKind.Refused, "the server refused the write"),
        };
        operation.Fail(kind, $"{what} ({operation.Table.Name} {operation.Key}): {refusal.Message}");
    }

    /// <summary>
    /// An error that the server sent, by the SQLSTATE that only such errors have, on a connection that goes on. Errors that the
    /// driver makes itself (a lost connection, a time-out) tell nothing about what the server did.
    /// </summary>
    private static bool IsFromServer(MySqlException exception, MySqlConnection connection) =>
        exception.SqlState is not null && connection.State == System.Data.ConnectionState.Open;

    private static void FailAll(List<HomeOperation> members, FailureKind kind, string message) =>
        members.ForEach(member => member.Fail(kind, message));

    private static string Describe(StoreOperation store) => store.ExpectsAbsent
        ? $"no row for {store.Key}"
        : $"version {store.ExpectedVersion} and fence {store.ExpectedFence} of {store.Key}";

    private static Guid ReadGuid(MySqlDataReader reader, int ordinal) => new((byte[])reader.GetValue(ordinal), bigEndian: true);

    /// <summary>What the locks show: the rows that were there, and which decisions about them were cancelled.</summary>
    private sealed record LockedRows(Dictionary<string, RowVersion> Versions, HashSet<(string Key, Guid Transaction)> Cancelled);
}
