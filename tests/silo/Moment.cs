using System.Diagnostics;
using System.Runtime.InteropServices;
using Banking.Homes;

namespace Banking.TestSilo;

/// <summary>One moment in the life of one account's row at which this process dies or stops, once.</summary>
internal sealed partial class Moment
{
    private const int StopSignal = 19;

    private int spent;

    /// <summary>The account whose write is meant.</summary>
    public required string Account { get; init; }

    /// <summary>Which write of a transfer.</summary>
    public required WriteKind Write { get; init; }

    /// <summary>Before its rows are locked, while they are locked, or when it is durable and nobody knows yet.</summary>
    public required WritePhase Phase { get; init; }

    /// <summary>What happens to the process: SIGKILL, or SIGSTOP until somebody sends SIGCONT.</summary>
    public required ProcessFate Fate { get; init; }

    public StoreOperation Queued(StoreOperation operation)
    {
        Reach(WritePhase.Queued, [operation]);
        return operation;
    }

    public Task LockedAsync(string home, IReadOnlyList<HomeOperation> operations) => Reach(WritePhase.Locked, operations);

    public Task CommittedAsync(string home, IReadOnlyList<HomeOperation> operations) => Reach(WritePhase.Committed, operations);

    private Task Reach(WritePhase phase, IReadOnlyList<HomeOperation> operations)
    {
        if (phase == Phase && operations.OfType<StoreOperation>().Any(IsMeant) && Interlocked.Exchange(ref spent, 1) == 0)
        {
            if (Fate == ProcessFate.Die)
            {
                Process.GetCurrentProcess().Kill();
            }

            _ = Kill(Environment.ProcessId, StopSignal);
        }

        return Task.CompletedTask;
    }

    private bool IsMeant(StoreOperation store) => store.Key == Account && Write == KindOf(store);

    /// <summary>Which of the writes of a transfer this is: prepare, commit, confirm or collect, told by what it changes.</summary>
    private static WriteKind KindOf(StoreOperation store) => store switch
    {
        { IsFlush: true } => WriteKind.Collect,
        { NewPending.Count: > 0 } => WriteKind.Prepare,
        { Ledger.Postings.Count: > 0, RemovedPending.Count: > 0 } => WriteKind.Confirm,
        { Ledger.Postings.Count: > 0 } => WriteKind.Commit,
        _ => WriteKind.Other,
    };

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}

internal enum WriteKind
{
    /// <summary>The other account's state, before the manager may decide.</summary>
    Prepare,
    /// <summary>The manager's one write: the decision.</summary>
    Commit,
    /// <summary>The other account's prepared state becomes its committed one.</summary>
    Confirm,
    /// <summary>The manager forgets the transaction.</summary>
    Collect,
    Other,
}

internal enum WritePhase
{
    Queued,
    Locked,
    Committed,
}

internal enum ProcessFate
{
    Die,
    Stop,
}
