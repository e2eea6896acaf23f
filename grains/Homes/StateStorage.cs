using Orleans.Runtime;
using Orleans.Storage;
using Orleans.Transactions.Abstractions;

namespace Banking.Homes;

/// <summary>
/// Orleans' transactional storage over a home database. One instance per activation, used on the grain's scheduler only
/// (so nothing here says ConfigureAwait(false)); the work of many instances is grouped by <see cref="HomeWriter"/>.
/// </summary>
/// <remarks>
/// Store: guard → serialize everything → one write of the row with pending states and ledger rows → on success the mirror
/// moves on, in one turn. Load: fence, read, mirror. Rules are those of docs/engine.md, section 3.
/// </remarks>
internal sealed class StateStorage<TState>(Home home, HomeRegistry homes, StateTable<TState> table, string key, IGrainFactory grains, Action deactivate, Action<TState, long, bool>? durable = null)
    : ITransactionalStateStorage<TState> where TState : class, new()
{
    private readonly HashSet<Guid> knownCommitted = [];

    /// <summary>The key as exceptions show it.</summary>
    private readonly string name = MaskedText.Of(key);

    /// <summary>The mirror; null while the guard holds (3.1): nothing may be stored until a Load has succeeded.</summary>
    private StateRow<TState>? row;
    private bool loading, storing, poisoned;
    private long readStampTicks;

    /// <inheritdoc/>
    public async Task<TransactionalStorageLoadResponse<TState>> Load()
    {
        ThrowIfPoisoned();
        if (loading)
        {
            // 3.3: Orleans would restore the pending states twice and the account would hang.
            throw new InvalidOperationException($"Expected one Load of {name} at a time, a second one came.");
        }

        (loading, row) = (true, null);
        try
        {
            var loaded = Read(await home.Writer.LoadAsync(table, key));
            foreach (var pending in loaded.Pending.Where(pending => knownCommitted.Contains(pending.TransactionId)).ToList())
            {
                // 3.8: the manager's home shows that it committed. What Orleans wanted to cancel is committed here.
                loaded = await WriteAsync(loaded, PendingStates.Merge(loaded, loaded.Metadata, [], pending.Sequence, null));
            }

            row = loaded;
            durable?.Invoke(loaded.Committed, loaded.Fence, true);
            return Answer(loaded);
        }
        catch (InconsistentStateException)
        {
            Poison();
            throw;
        }
        finally
        {
            loading = false;
        }
    }

    /// <inheritdoc/>
    public async Task<string> Store(
        string? expectedETag,
        TransactionalStateMetaData metadata,
        List<PendingTransactionState<TState>>? statesToPrepare,
        long? commitUpTo,
        long? abortAfter)
    {
        var before = Guard(expectedETag);
        storing = true;
        try
        {
            // Serialized before the first await: Orleans goes on to change the metadata while the write is under way.
            var stored = StoredMetadata.From(metadata);
            var decides = NewCommits(before, stored).Count > 0;
            if (statesToPrepare is null or { Count: 0 } && commitUpTo is null && abortAfter is null && !decides)
            {
                row = await DeferAsync(before, stored);
            }
            else
            {
                row = null; // 3.1: until the write has succeeded
                if (before.IsAbsent && decides)
                {
                    // 3.8: a decision needs a row that can be locked by those who give the transaction up.
                    before = await WriteAsync(before, before);
                }

                var after = PendingStates.Merge(before, stored, PendingStates.From(statesToPrepare), commitUpTo, abortAfter);
                row = await WriteAsync(before, after);
                durable?.Invoke(row.Committed, row.Fence, false);
            }

            return row.ETag ?? "";
        }
        catch (Exception exception)
        {
            row = null;
            if (exception is InconsistentStateException)
            {
                Poison();
            }

            throw;
        }
        finally
        {
            storing = false;
        }
    }

    /// <summary>3.1 and 3.7: refuses every Store after a failed one, while a Load runs, and for good after a conflict.</summary>
    private StateRow<TState> Guard(string? expectedETag)
    {
        ThrowIfPoisoned();
        if (row is null || storing)
        {
            throw new InvalidOperationException($"Expected a successful Load of {name} before this Store: the last one failed, or something is under way.");
        }

        if ((expectedETag ?? "") != (row.ETag ?? ""))
        {
            row = null;
            throw new InconsistentStateException($"Expected ETag '{expectedETag}' for {name}, this instance is elsewhere.", "", expectedETag);
        }

        return row;
    }

    /// <summary>3.7: for good, else the loser would fence the winner, and so on. The activation goes; a new one loads.</summary>
    private void Poison()
    {
        poisoned = true;
        deactivate();
    }

    private void ThrowIfPoisoned()
    {
        if (poisoned)
        {
            throw new InconsistentStateException($"Another activation owns {name}; this one may neither load nor store until it is gone.", name, "");
        }
    }

    /// <summary>One durable write of the row and of all that goes along.</summary>
    private async Task<StateRow<TState>> WriteAsync(StateRow<TState> before, StateRow<TState> after)
    {
        var ledger = table.Explain(key, before, after);
        var next = after with { Version = before.Version + 1 };
        var operation = Describe(before, next, ledger);
        foreach (var cancelled in Without(before.Pending, after.Pending).Where(pending => pending.Sequence > after.Sequence))
        {
            await CancelAtManagerAsync(cancelled);
        }

        await home.Writer.StoreAsync(operation);
        return next;
    }

    /// <summary>
    /// 3.9: metadata alone may wait. A collected commit record is flushed within <see cref="EngineLimits.DeferMax"/>; a read
    /// stamp waits for the next write, but the row is verified now, or a stale activation would serve old balances.
    /// </summary>
    private async Task<StateRow<TState>> DeferAsync(StateRow<TState> before, StoredMetadata stored)
    {
        var after = PendingStates.Merge(before, stored, [], null, null);
        if (after.Metadata.Text != before.Metadata.Text && !before.IsAbsent)
        {
            home.Writer.Defer(Describe(before, after, LedgerChange.None, isFlush: true));
        }

        if (after.Metadata.TimeTicks > before.Metadata.TimeTicks)
        {
            readStampTicks = after.Metadata.TimeTicks;
            row = null;
            if (!await home.Reader.VerifyAsync(table, key, before.Version, before.Fence))
            {
                throw new InconsistentStateException($"Another activation owns {name}; what this one has may be old.", name, before.ETag);
            }
        }

        return after;
    }

    private StoreOperation Describe(StateRow<TState> before, StateRow<TState> after, LedgerChange ledger, bool isFlush = false)
    {
        var operationId = Guid.CreateVersion7();
        var values = new object?[table.ColumnCount];
        values[StateTable.Key] = key;
        values[StateTable.Version] = after.Version;
        values[StateTable.Fence] = after.Fence;
        values[StateTable.OperationId] = operationId.ToByteArray(bigEndian: true);
        values[StateTable.Sequence] = after.Sequence;
        values[StateTable.TransactionTime] = after.Metadata.TimeTicks;
        values[StateTable.CommitRecords] = after.Metadata.Text;
        values[StateTable.UnsettledSince] = after.UnsettledSince;
        table.Write(key, after.Committed, values);
        return new StoreOperation(table, key, values, before.Version, before.Fence, operationId)
        {
            IsFlush = isFlush,
            NewCommits = NewCommits(before, after.Metadata),
            RemovedPending = [.. Without(before.Pending, after.Pending).Select(pending => pending.Sequence)],
            NewPending = NewRows(before.Pending, after.Pending),
            Ledger = ledger,
        };
    }

    /// <summary>Those of one list that another has not. A kept pending state is the same object in both.</summary>
    private static IEnumerable<PendingState<TState>> Without(IReadOnlyList<PendingState<TState>> some, IReadOnlyList<PendingState<TState>> others)
    {
        var known = new HashSet<PendingState<TState>>(others, ReferenceEqualityComparer.Instance);
        return some.Where(pending => !known.Contains(pending));
    }

    private List<object?[]> NewRows(IReadOnlyList<PendingState<TState>> before, IReadOnlyList<PendingState<TState>> after)
    {
        var rows = new List<object?[]>();
        var isNew = Without(after, before).ToHashSet<PendingState<TState>>(ReferenceEqualityComparer.Instance);
        for (var index = 0; index < after.Count; index++)
        {
            var (pending, behind) = (after[index], index == 0 ? null : after[index - 1].State);
            if (isNew.Contains(pending))
            {
                rows.Add(
                [
                    key, pending.Sequence, pending.TransactionId.ToByteArray(bigEndian: true), pending.TimeTicks,
                    pending.Manager is null ? null : ManagerReference.Format(pending.Manager), table.Serialize(pending.State, behind),
                ]);
            }
        }

        return rows;
    }

    private StateRow<TState> Read(LoadOperation load)
    {
        if (load.Row is not { } values)
        {
            return StateRow<TState>.Absent;
        }

        var pending = new List<PendingState<TState>>(load.Pending.Count);
        foreach (var prepared in load.Pending)
        {
            pending.Add(new PendingState<TState>(
                (long)prepared[1]!,
                new Guid((byte[])prepared[2]!, bigEndian: true),
                (long)prepared[3]!,
                prepared[4] is string manager ? ManagerReference.Read(manager) : null,
                table.Deserialize((string)prepared[5]!, pending is [.., var last] ? last.State : null)));
        }

        var metadata = StoredMetadata.Read((long)values[StateTable.TransactionTime]!, (string?)values[StateTable.CommitRecords]);
        return new StateRow<TState>(
            (long)values[StateTable.Version]!,
            (long)values[StateTable.Fence]!,
            (long)values[StateTable.Sequence]!,
            table.Read(values),
            pending,
            metadata with { TimeTicks = Math.Max(metadata.TimeTicks, readStampTicks) });
    }

    private TransactionalStorageLoadResponse<TState> Answer(StateRow<TState> loaded) => new(
        loaded.ETag,
        loaded.Committed,
        loaded.Sequence,
        loaded.Metadata.ToOrleans(grains),
        [.. loaded.Pending.Select(pending => new PendingTransactionState<TState>
        {
            SequenceId = pending.Sequence,
            TransactionId = pending.TransactionId.ToString(),
            TimeStamp = new DateTime(pending.TimeTicks, DateTimeKind.Utc),
            TransactionManager = pending.Manager?.ToOrleans(grains) ?? default,
            State = pending.State,
        })]);

    /// <summary>
    /// 3.8: "presumed abort" comes from the memory of an activation that may be stale. Before the cancel of a stored prepare
    /// becomes durable, the manager's home promises that the transaction will never commit there. If it has committed, the
    /// cancel is refused, and the Load that follows commits the pending state.
    /// </summary>
    private async Task CancelAtManagerAsync(PendingState<TState> cancelled)
    {
        if (cancelled.Manager is not { } manager || !home.Seams.Fences)
        {
            return;
        }

        bool isCancelled;
        try
        {
            isCancelled = await CancelledTransactions.TryAddAsync(homes.OfKey(manager.GrainKey), manager, cancelled.TransactionId, new DateTime(cancelled.TimeTicks, DateTimeKind.Utc));
        }
        catch (HomeUnavailableException)
        {
            // Orleans loads again and asks the manager at once, whose answer leads here again: hundreds of loads a second while its home is down.
            await Task.Delay(EngineLimits.CancelRetryPause);
            throw;
        }

        if (!isCancelled)
        {
            knownCommitted.Add(cancelled.TransactionId);
            throw new InvalidOperationException(MaskedText.Of($"Expected transaction {cancelled.TransactionId} of {key} to be aborted, its manager {manager.GrainKey} has committed it. The cancel is refused."));
        }
    }

    /// <summary>3.8: the transactions that this state's grain would decide by writing this metadata.</summary>
    private static IReadOnlyList<Guid> NewCommits(StateRow<TState> before, StoredMetadata after) =>
        after.Text == before.Metadata.Text
            ? []
            : [.. after.Commits.Select(commit => commit.Id).Except(before.Metadata.Commits.Select(commit => commit.Id))];
}

/// <summary>Makes the storage of a transactional state: <c>[TransactionalState(name, StorageName)]</c>.</summary>
internal sealed class StateStorageFactory(HomeRegistry homes, IGrainFactory grains) : ITransactionalStateStorageFactory
{
    /// <summary>The name that grains give in <c>[TransactionalState]</c>.</summary>
    public const string StorageName = "homes";

    public ITransactionalStateStorage<TState> Create<TState>(string stateName, IGrainContext context) where TState : class, new()
    {
        var grainKey = context.GrainId.Key.ToString()!;
        var home = homes.OfKey(grainKey);
        void Deactivate() => context.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationError, "Another activation owns the state."));
        if (typeof(TState) == typeof(Accounts.AccountState))
        {
            var view = (Accounts.DurableAccount)context.ActivationServices.GetService(typeof(Accounts.DurableAccount))!;
            return (ITransactionalStateStorage<TState>)(object)new StateStorage<Accounts.AccountState>(home, homes, AccountTable.Instance, grainKey, grains, Deactivate, view.BecameDurable);
        }

        return new StateStorage<TState>(home, homes, GrainStateTable<TState>.Instance, $"{stateName}/{grainKey}", grains, Deactivate);
    }
}
