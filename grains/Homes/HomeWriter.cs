using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using MySqlConnector;
using Orleans.Storage;

namespace Banking.Homes;

/// <summary>
/// The one writer of a home on a silo: writes of many accounts go in one MySQL transaction and share one flush to disk.
/// </summary>
/// <remarks>
/// Phases of a batch, two round trips:
/// <list type="number">
/// <item>lock the rows of all members and read version, fence and operation id, skipping rows that others have locked;</item>
/// <item>sort the members: a row that is not as expected = conflict of that member alone (3.4, 3.7); a row that was skipped leaves the
/// batch and goes alone with a short wait; the rest is written with multi-row statements and committed.</item>
/// </list>
/// When the server refuses (duplicate key, lock time-out) the batch is rolled back and its members go alone. When the
/// connection breaks before the commit was answered, the rows are read again under lock and each member's fate is decided
/// (section 4, "commit of unknown outcome").
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
    private readonly Dictionary<string, (StoreOperation Flush, long Since)> deferred = [];
    private readonly SemaphoreSlim aloneSlots = new(EngineLimits.AloneMax);
    private readonly CancellationTokenSource stopping = new();
    private readonly Task writing, flushing;
    private int queued;

    public HomeWriter(Home home, string writerName, ILogger logger, HomeSeams seams)
    {
        (this.home, this.writerName, this.logger, this.seams) = (home, writerName, logger, seams);
        writing = Task.Run(WriteAsync);
        flushing = Task.Run(FlushAsync);
    }

    /// <summary>Operations that wait or are being written.</summary>
    public int Queued => Volatile.Read(ref queued);

    /// <summary>Queues a write. A flush of the same row that still waits is superseded: the write carries newer metadata.</summary>
    public Task StoreAsync(StoreOperation operation)
    {
        lock (deferred)
        {
            deferred.Remove(operation.Key);
        }

        return Enqueue(seams.Rewrite?.Invoke(operation) ?? operation);
    }

    /// <summary>Queues a load, behind a flush of the same row that still waits.</summary>
    public async Task<LoadOperation> LoadAsync(StateTable table, string key)
    {
        if (!home.IsAvailable)
        {
            throw new HomeUnavailableException($"Home {home.Name} is not available: {home.Reason}. Nothing was read for {key}.");
        }

        (StoreOperation Flush, long Since) waiting;
        lock (deferred)
        {
            deferred.Remove(key, out waiting);
        }

        if (waiting.Flush is not null)
        {
            _ = FlushAsync(waiting.Flush);
        }

        var load = new LoadOperation(table, key);
        await Enqueue(load);
        return load;
    }

    /// <summary>
    /// Rule 3.9: takes metadata that may wait. It is written with the row's next write or within
    /// <see cref="EngineLimits.DeferMax"/>, whatever happens to the activation; the newest snapshot wins.
    /// </summary>
    public void Defer(StoreOperation flush)
    {
        lock (deferred)
        {
            var since = deferred.TryGetValue(flush.Key, out var waiting) ? waiting.Since : Stopwatch.GetTimestamp();
            deferred[flush.Key] = (flush, since);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await flushing;
        lock (deferred)
        {
            foreach (var (flush, _) in deferred.Values)
            {
                queue.Writer.TryWrite(flush);
            }

            deferred.Clear();
        }

        queue.Writer.TryComplete();
        await writing;
        stopping.Dispose();
        aloneSlots.Dispose();
    }

    private Task Enqueue(HomeOperation operation)
    {
        Interlocked.Increment(ref queued);
        if (!queue.Writer.TryWrite(operation))
        {
            Interlocked.Decrement(ref queued);
            operation.Fail(FailureKind.Unavailable, $"Home {home.Name} has {EngineLimits.QueueMax} writes queued, or is stopping. Nothing was written for {operation.Key}.");
        }

        return operation.Completion;
    }

    private async Task FlushAsync()
    {
        using var timer = new PeriodicTimer(EngineLimits.DeferMax / 4);
        var due = new List<StoreOperation>();
        try
        {
            while (await timer.WaitForNextTickAsync(stopping.Token))
            {
                if (!home.IsAvailable)
                {
                    continue; // what waits keeps waiting; nobody else would collect these commit records
                }

                lock (deferred)
                {
                    due.AddRange(deferred.Values.Where(waiting => Stopwatch.GetElapsedTime(waiting.Since) >= EngineLimits.DeferMax).Select(waiting => waiting.Flush));
                    due.ForEach(flush => deferred.Remove(flush.Key));
                }

                due.ForEach(flush => _ = FlushAsync(flush));
                due.Clear();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stopping: DisposeAsync writes what is left.
        }
    }

    /// <summary>
    /// Writes one flush. If the home did not answer it waits again: the activation believes that it is written, so nothing
    /// else would ever write it. A conflict means that a newer write or load of the row was there first: nothing is lost, since
    /// a flush leaves the version alone, and a stale activation finds out by its own next call.
    /// </summary>
    private async Task FlushAsync(StoreOperation flush)
    {
        try
        {
            await Enqueue(flush);
        }
        catch (HomeUnavailableException)
        {
            lock (deferred)
            {
                deferred.TryAdd(flush.Key, (flush.Again(), Stopwatch.GetTimestamp()));
            }
        }
        catch (Exception exception) when (exception is InconsistentStateException or InvalidOperationException)
        {
            LogFlushFailed(home.Name, exception.Message);
        }
    }

    private async Task WriteAsync()
    {
        MySqlConnection? connection = null;
        var carried = new Queue<HomeOperation>();
        while (carried.Count > 0 || await queue.Reader.WaitToReadAsync())
        {
            var batch = TakeBatch(carried);
            try
            {
                connection = await ExecuteAsync(connection, batch);
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                // Whatever went wrong with one batch must not stop the writer: everybody behind it would wait for ever.
                LogBatchFailed(home.Name, batch.Count, exception);
                FailAll(batch, FailureKind.Unavailable, $"Home {home.Name} failed; what became of the write is not known: {exception.Message}");
                connection = await CloseAsync(connection);
            }

            Interlocked.Add(ref queued, -batch.Count);
        }

        if (connection is not null)
        {
            await connection.DisposeAsync();
        }
    }

    /// <summary>At most one operation per row in a batch; a second one waits for the next, in order.</summary>
    private List<HomeOperation> TakeBatch(Queue<HomeOperation> carried)
    {
        var batch = new List<HomeOperation>();
        var keys = new HashSet<string>();
        var bytes = 0;
        for (var left = carried.Count; left > 0; left--)
        {
            Take(carried.Dequeue());
        }

        while (batch.Count < EngineLimits.BatchMax && bytes < EngineLimits.BatchBytesMax && queue.Reader.TryRead(out var operation))
        {
            Take(operation);
        }

        // One order for everybody: two silos that lock the same rows never wait for each other in a circle.
        batch.Sort((left, right) => string.CompareOrdinal(left.Key, right.Key));
        return batch;

        void Take(HomeOperation operation)
        {
            if (batch.Count < EngineLimits.BatchMax && keys.Add(operation.Key))
            {
                batch.Add(operation);
                bytes += operation.Bytes;
            }
            else
            {
                carried.Enqueue(operation);
            }
        }
    }

    /// <summary>Writes a batch and tells every member its outcome. Returns the connection if it is still good.</summary>
    private async Task<MySqlConnection?> ExecuteAsync(MySqlConnection? connection, List<HomeOperation> batch)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            connection ??= await home.OpenAsync(stopping.Token);
        }
        catch (Exception exception) when (exception is MySqlException or OperationCanceledException or TimeoutException)
        {
            home.ReportFailure(exception.Message);
            FailAll(batch, FailureKind.Unavailable, $"Home {home.Name} cannot be reached: {exception.Message}");
            return null;
        }

        var commitSent = false;
        List<HomeOperation> members = batch;
        try
        {
            members = await LockAsync(connection, batch, wait: false);
            if (members.Count > 0)
            {
                commitSent = true;
                await CommitAsync(connection, members);
                members.ForEach(member => member.Succeed());
            }
            else
            {
                await RollbackAsync(connection);
            }

            home.Instruments.BatchWritten(home.Name, members.Count, Stopwatch.GetElapsedTime(started));
            return connection;
        }
        catch (MySqlException exception) when (IsDefinite(exception) && connection.State == System.Data.ConnectionState.Open)
        {
            // The server refused one member's statement: nothing is committed, each member goes alone.
            LogBatchSplit(home.Name, members.Count, exception.ErrorCode.ToString(), exception.Message);
            await RollbackAsync(connection);
            foreach (var member in members)
            {
                await GoAloneAsync(member);
            }

            return connection;
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            home.ReportFailure(exception.Message);
            await connection.DisposeAsync();
            if (commitSent)
            {
                await ResolveAsync(members, exception);
            }
            else
            {
                FailAll(members, FailureKind.Unavailable, $"Home {home.Name} failed before the commit: {exception.Message}");
            }

            return null;
        }
    }

    /// <summary>First round trip: locks what can be locked and returns the members that may be written.</summary>
    private async Task<List<HomeOperation>> LockAsync(MySqlConnection connection, List<HomeOperation> batch, bool wait)
    {
        var found = await ReadVersionsAsync(connection, batch, wait);
        var members = new List<HomeOperation>(batch.Count);
        foreach (var operation in batch)
        {
            var isFound = found.TryGetValue(operation.Key, out var version);
            switch (operation)
            {
                case LoadOperation:
                    members.Add(operation); // one that was not found is absent or skipped; the second round trip tells
                    break;
                case StoreOperation { ExpectsAbsent: true } when !isFound:
                    members.Add(operation);
                    break;
                case StoreOperation store when isFound && store.IsExpected(version):
                    members.Add(operation);
                    break;
                case StoreOperation store when isFound:
                    store.Fail(FailureKind.Conflict, $"Expected {Describe(store)}, found version {version.Version} and fence {version.Fence}. Another activation owns the row.");
                    break;
                case var skipped when !wait:
                    _ = GoAloneInBackgroundAsync(skipped);
                    break;
                default:
                    operation.Fail(FailureKind.Conflict, $"Expected {Describe((StoreOperation)operation)}, found no such row.");
                    break;
            }
        }

        return members;
    }

    private static async Task<Dictionary<string, RowVersion>> ReadVersionsAsync(MySqlConnection connection, List<HomeOperation> batch, bool wait)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.Begin);
        foreach (var table in batch.GroupBy(operation => operation.Table))
        {
            sql.Add(table.Key.SelectVersions).AddKeys(table.Select(operation => operation.Key).ToList());
            sql.Add(wait ? Statements.ForUpdate : Statements.ForUpdateSkipLocked).End();
        }

        var found = new Dictionary<string, RowVersion>(batch.Count);
        await using var reader = await sql.ReadAsync(connection);
        do
        {
            while (await reader.ReadAsync())
            {
                found[reader.GetString(0)] = new RowVersion(reader.GetInt64(1), reader.GetInt64(2), ReadGuid(reader, 3));
            }
        }
        while (await reader.NextResultAsync());

        foreach (var load in batch.OfType<LoadOperation>())
        {
            load.Reset();
            load.IsLocked = found.ContainsKey(load.Key);
        }

        return found;
    }

    /// <summary>Second round trip: writes, reads what loads want, and commits.</summary>
    private async Task CommitAsync(MySqlConnection connection, List<HomeOperation> members, bool mark = false)
    {
        if (seams.Locked is { } locked)
        {
            await locked(home.Name, members);
        }

        using var sql = new SqlBatch();
        AppendStores(sql, [.. members.OfType<StoreOperation>()]);
        if (mark)
        {
            sql.Add(Statements.Mark).Bind(writerName).End();
        }

        var loads = members.OfType<LoadOperation>().ToList();
        AppendLoads(sql, loads);
        sql.Add("COMMIT");
        await using (var reader = await sql.ReadAsync(connection))
        {
            await ReadLoadsAsync(reader, loads);
            while (await reader.NextResultAsync())
            {
                // Runs the statements that give no rows, the COMMIT last.
            }
        }

        foreach (var load in loads.Where(load => load is { IsLocked: false, Row: not null }).ToList())
        {
            // Skipped is not absent: the row exists, somebody else had it locked. The load must wait for them and fence them off.
            members.Remove(load);
            _ = GoAloneInBackgroundAsync(load);
        }

        if (seams.Committed is { } committed)
        {
            await committed(home.Name, members);
        }
    }

    private static void AppendStores(SqlBatch sql, List<StoreOperation> stores)
    {
        Append(Statements.DeletePending, "state_key", "sequence", [.. stores.SelectMany(store => store.RemovedPending.Select(sequence => (store.Key, sequence)))]);
        Append(Statements.CancelTransfers, "source", "number", [.. stores.SelectMany(store => store.Ledger.CancelledTransfers)]);
        foreach (var table in stores.GroupBy(store => store.Table))
        {
            AppendRows(table.Key.InsertRows, [.. table.Where(store => store.ExpectsAbsent).Select(store => store.Row)], table.Key.ColumnCount);
            AppendRows(table.Key.InsertRows, [.. table.Where(store => !store.ExpectsAbsent).Select(store => store.Row)], table.Key.ColumnCount, table.Key.OnDuplicateUpdate);
        }

        AppendRows(Statements.InsertPending, [.. stores.SelectMany(store => store.NewPending)], Statements.PendingColumns);
        AppendRows(Statements.InsertPostings, [.. stores.SelectMany(store => store.Ledger.Postings)], Statements.PostingColumns);
        AppendRows(Statements.InsertTransfers, [.. stores.SelectMany(store => store.Ledger.NewTransfers)], Statements.TransferColumns);
        Append(Statements.PostTransfers, "source", "number", [.. stores.SelectMany(store => store.Ledger.PostedTransfers)]);

        void AppendRows(string statement, List<object?[]> rows, int columns, string tail = "")
        {
            if (rows.Count > 0)
            {
                sql.Add(statement).AddRows(rows, columns).Add(tail).End();
            }
        }

        void Append(string statement, string keyColumn, string numberColumn, List<(string, long)> pairs)
        {
            if (pairs.Count > 0)
            {
                sql.Add(statement).AddPairs(keyColumn, numberColumn, pairs).End();
            }
        }
    }

    private void AppendLoads(SqlBatch sql, List<LoadOperation> loads)
    {
        foreach (var table in loads.GroupBy(load => load.Table))
        {
            var locked = table.Where(load => load.IsLocked).Select(load => load.Key).ToList();
            if (locked.Count > 0 && seams.Fences)
            {
                sql.Add(table.Key.BumpFences).AddKeys(locked).End();
            }

            sql.Add(table.Key.SelectRows).AddKeys(table.Select(load => load.Key).ToList()).End();
        }

        if (loads.Count > 0)
        {
            sql.Add(Statements.SelectPending).AddKeys(loads.ConvertAll(load => load.Key)).Add(Statements.OrderPending).End();
        }
    }

    private static async Task ReadLoadsAsync(MySqlDataReader reader, List<LoadOperation> loads)
    {
        if (loads.Count == 0)
        {
            return;
        }

        var byKey = loads.ToDictionary(load => load.Key);
        for (var tables = loads.DistinctBy(load => load.Table).Count(); tables > 0; tables--)
        {
            while (await reader.ReadAsync())
            {
                byKey[reader.GetString(StateTable.Key)].Row = SqlRow.Read(reader);
            }

            await reader.NextResultAsync();
        }

        while (await reader.ReadAsync())
        {
            byKey[reader.GetString(0)].Pending.Add(SqlRow.Read(reader));
        }
    }

    private async Task GoAloneInBackgroundAsync(HomeOperation operation)
    {
        await Task.Yield();
        await GoAloneAsync(operation);
    }

    /// <summary>One member on a connection of its own, waiting for locks up to the lock wait of the session.</summary>
    private async Task GoAloneAsync(HomeOperation operation)
    {
        await aloneSlots.WaitAsync();
        var commitSent = false;
        try
        {
            await using var connection = await home.OpenAsync(stopping.Token);
            try
            {
                var members = await LockAsync(connection, [operation], wait: true);
                if (members.Count == 0)
                {
                    await RollbackAsync(connection);
                    return;
                }

                commitSent = true;
                await CommitAsync(connection, members);
                members.ForEach(member => member.Succeed());
            }
            catch (MySqlException exception) when (IsDefinite(exception) && connection.State == System.Data.ConnectionState.Open)
            {
                await RollbackAsync(connection);
                FailDefinitely(operation, exception);
            }
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            home.ReportFailure(exception.Message);
            if (commitSent)
            {
                await ResolveAsync([operation], exception);
            }
            else
            {
                operation.Fail(FailureKind.Unavailable, $"Home {home.Name} failed before the commit: {exception.Message}");
            }
        }
        finally
        {
            aloneSlots.Release();
        }
    }

    /// <summary>
    /// A commit of unknown outcome: reads the rows again under lock, which waits for the old transaction, and decides per
    /// member. What landed is told only after a later commit on that server is durable: a commit can be visible before it is.
    /// </summary>
    private async Task ResolveAsync(List<HomeOperation> members, Exception cause)
    {
        LogOutcomeUnknown(home.Name, members.Count, cause.Message);
        for (var attempt = 1; attempt <= EngineLimits.ResolveAttemptsMax; attempt++)
        {
            try
            {
                await using var connection = await home.OpenAsync(stopping.Token);
                var found = await ReadVersionsAsync(connection, members, wait: true);
                var landed = members.OfType<StoreOperation>().Where(store => found.TryGetValue(store.Key, out var version) && store.HasLanded(version)).ToList();
                var again = members.Except(landed).Where(member =>
                    member is LoadOperation || (member is StoreOperation store &&
                        (found.TryGetValue(store.Key, out var version) ? store.IsExpected(version) : store.ExpectsAbsent))).ToList();
                await CommitAsync(connection, again, mark: true);
                landed.ForEach(store => store.Succeed());
                again.ForEach(member => member.Succeed());
                foreach (var lost in members.Except(landed).Except(again).OfType<StoreOperation>())
                {
                    lost.Fail(FailureKind.Conflict, $"Expected {Describe(lost)} after a lost connection, found another. Another activation owns the row.");
                }

                return;
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                LogResolveFailed(home.Name, attempt, exception.Message);
                cause = exception;
            }
        }

        // Not a conflict: the write may have landed. The guard of each instance makes it load before it writes again.
        FailAll(members, FailureKind.Unavailable, $"Home {home.Name} lost the connection while committing, and did not say in {EngineLimits.ResolveAttemptsMax} attempts what became of it: {cause.Message}");
    }

    private static async Task<MySqlConnection?> CloseAsync(MySqlConnection? connection)
    {
        if (connection is not null)
        {
            await connection.DisposeAsync();
        }

        return null;
    }

    /// <summary>Always rolls back before anything else: after a lock time-out the server has undone only the one statement.</summary>
    private static async Task RollbackAsync(MySqlConnection connection)
    {
        using var sql = new SqlBatch();
        await sql.Add("ROLLBACK").ExecuteAsync(connection);
    }

    private static void FailDefinitely(HomeOperation operation, MySqlException exception)
    {
        var (kind, what) = exception.ErrorCode switch
        {
            MySqlErrorCode.DuplicateKeyEntry => (FailureKind.Conflict, "a row exists already that this write was to make"),
            MySqlErrorCode.LockWaitTimeout or MySqlErrorCode.LockDeadlock => (FailureKind.Unavailable, "the row is locked by somebody else"),
            _ => (FailureKind.Refused, "the server refused the write"),
        };
        operation.Fail(kind, $"{what} ({operation.Table.Name} {operation.Key}): {exception.Message}");
    }

    /// <summary>
    /// Errors that the server gives before it would commit. Any other error leaves the outcome open, an error of COMMIT
    /// itself above all.
    /// </summary>
    private static bool IsDefinite(MySqlException exception) => exception.ErrorCode is
        MySqlErrorCode.DuplicateKeyEntry or MySqlErrorCode.LockWaitTimeout or MySqlErrorCode.LockDeadlock or
        MySqlErrorCode.DataTooLong or MySqlErrorCode.WarningDataOutOfRange or MySqlErrorCode.ColumnCannotBeNull or
        (MySqlErrorCode)3819 or (MySqlErrorCode)4025 or // CHECK violated: MySQL, MariaDB
        MySqlErrorCode.TableAccessDenied or MySqlErrorCode.ColumnAccessDenied or MySqlErrorCode.NoSuchTable or MySqlErrorCode.ParseError;

    private static void FailAll(List<HomeOperation> members, FailureKind kind, string message) =>
        members.ForEach(member => member.Fail(kind, message));

    private static string Describe(StoreOperation store) => store.ExpectsAbsent
        ? $"no row for {store.Key}"
        : $"version {store.ExpectedVersion} and fence {store.ExpectedFence} of {store.Key}";

    private static Guid ReadGuid(MySqlDataReader reader, int ordinal) => new((byte[])reader.GetValue(ordinal), bigEndian: true);
}
