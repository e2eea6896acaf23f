using Orleans.Transactions.Abstractions;

namespace Banking.Homes;

/// <summary>What one Store call makes of a row, computed before anything is sent.</summary>
internal static class PendingStates
{
    /// <summary>
    /// The row after a Store call. Pure. Rules 3.2 and 3.5 of the engine:
    /// an abort applies also to the prepares of the same call; a commit names a known pending state above the committed
    /// one; what is left of an aborted batch is told by its timestamp and dropped; the metadata's time covers the row.
    /// </summary>
    public static StateRow<TState> Merge<TState>(
        StateRow<TState> before,
        StoredMetadata metadata,
        IReadOnlyList<PendingState<TState>> prepares,
        long? commitUpTo,
        long? abortAfter)
        where TState : class, new()
    {
        var pending = new SortedList<long, PendingState<TState>>(before.Pending.Count + prepares.Count);
        foreach (var state in before.Pending.Concat(prepares))
        {
            if (abortAfter is null || state.Sequence <= abortAfter)
            {
                pending[state.Sequence] = state;
            }
        }

        var (sequence, committed, time) = (before.Sequence, before.Committed, 0L);
        if (commitUpTo is { } commit)
        {
            if (commit <= before.Sequence || !pending.TryGetValue(commit, out var chosen))
            {
                throw new InvalidOperationException(
                    $"Expected to commit a prepared state above sequence {before.Sequence}, got {commit} with [{string.Join(", ", pending.Keys)}] prepared.");
            }

            (sequence, committed, time) = (chosen.Sequence, chosen.State, chosen.TimeTicks);
        }

        var kept = new List<PendingState<TState>>(pending.Count);
        foreach (var state in pending.Values)
        {
            if (state.Sequence > sequence && state.TimeTicks > time)
            {
                kept.Add(state);
                time = state.TimeTicks;
            }
        }

        return before with
        {
            Sequence = sequence,
            Committed = committed,
            Pending = kept,
            Metadata = metadata with { TimeTicks = Math.Max(metadata.TimeTicks, Math.Max(time, before.Metadata.TimeTicks)) },
        };
    }

    /// <summary>Orleans' prepare records as ours.</summary>
    public static IReadOnlyList<PendingState<TState>> From<TState>(List<PendingTransactionState<TState>>? prepares) where TState : class, new() =>
        prepares is null or { Count: 0 }
            ? []
            : prepares.ConvertAll(prepare => new PendingState<TState>(
                prepare.SequenceId,
                Guid.Parse(prepare.TransactionId),
                prepare.TimeStamp.Ticks,
                prepare.TransactionManager.Reference is null ? null : ManagerReference.From(prepare.TransactionManager),
                prepare.State));
}
