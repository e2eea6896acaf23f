using Banking.Accounts;
using Banking.Homes;
using Orleans.Serialization.Invocation;

namespace Banking.Tests.Verification;

/// <summary>The bugs that a transfer engine is likely to have. Each is put in by a seam, never by the product's code.</summary>
public enum Bug
{
    None,
    SkipTheCredit,
    CreditTwice,
    AnswerBeforeTheCommit,
    ForgetTheTombstone,
    DropTheStoredRefusal,
    LoseAPosting,
    BreakTheChain,
    RunTheLegsInParallel,
    LegsInTransactionsOfTheirOwn,
    OverflowTheBalance,
    ServeAStaleRead,
    ReorderVersions,
}

/// <summary>Puts one bug at a time into a silo: into what is written, and into calls between grains.</summary>
internal sealed class SeededBugs : IOutgoingGrainCallFilter, IIncomingGrainCallFilter
{
    /// <summary>Columns of a posting and of a transfer as the engine writes them.</summary>
    private const int PostingVersion = 1, PostingBalance = 5, PostingHash = 9, TransferStatusColumn = 3;

    private readonly Dictionary<string, object> reads = [];

    public Bug Bug { get; set; }

    /// <summary>While true every write that is not a load fails after its rows were locked: the outcome of a commit stays unknown.</summary>
    public volatile string? BreakHome;

    public IGrainFactory Grains { get; set; } = null!;

    public HomeSeams Seams => new() { Rewrite = Rewrite, Locked = LockedAsync };

    /// <summary>Calls of TransferGrain to the account that runs the transaction.</summary>
    public async Task Invoke(IOutgoingGrainCallContext context)
    {
        var isTransfer = context.InterfaceMethod.DeclaringType == typeof(IAccountLegs) && context.InterfaceMethod.Name == nameof(IAccountLegs.PostAll);
        if (!isTransfer || context.Request.GetArgument(0) is not TransferLeg[] { Length: 2 } legs)
        {
            await context.Invoke();
            return;
        }

        var credit = legs.Single(leg => leg.AmountMinor > 0);
        var debit = legs.Single(leg => leg.AmountMinor < 0);
        switch (Bug)
        {
            case Bug.SkipTheCredit:
                context.Request.SetArgument(0, (TransferLeg[])[debit]);
                await context.Invoke();
                break;
            case Bug.CreditTwice:
                context.Request.SetArgument(0, (TransferLeg[])[credit, credit, debit]);
                await context.Invoke();
                break;
            case Bug.LegsInTransactionsOfTheirOwn:
                var first = await Legs(debit).PostAll([debit]);
                context.Result = (LegReceipt[])[.. first, .. await Legs(credit).PostAll([credit])];
                break;
            case Bug.RunTheLegsInParallel:
                context.Result = await Grains.GetGrain<IParallelLegsGrain>(0).PostAll(legs);
                break;
            default:
                await context.Invoke();
                break;
        }
    }

    /// <summary>Reads of an account.</summary>
    public async Task Invoke(IIncomingGrainCallContext context)
    {
        if (Bug != Bug.ServeAStaleRead || context.InterfaceMethod?.Name != nameof(IAccountGrain.GetAccount))
        {
            await context.Invoke();
            return;
        }

        var key = context.TargetId.ToString();
        if (reads.TryGetValue(key, out var old))
        {
            context.Result = old;
            return;
        }

        await context.Invoke();
        reads[key] = context.Result!;
    }

    private StoreOperation Rewrite(StoreOperation store)
    {
        switch (Bug)
        {
            case Bug.AnswerBeforeTheCommit:
                store.Succeed();
                return store;
            case Bug.ForgetTheTombstone:
                return WithLedger(store, ledger => ledger with { NewTransfers = [.. ledger.NewTransfers.Where(row => (string)row[TransferStatusColumn]! != "abandoned")] });
            case Bug.DropTheStoredRefusal:
                return WithLedger(store, ledger => ledger with { NewTransfers = [.. ledger.NewTransfers.Where(row => (string)row[TransferStatusColumn]! != "refused")] });
            case Bug.LoseAPosting:
                return WithLedger(store, ledger => ledger with { Postings = [.. ledger.Postings.Skip(1)] });
            case Bug.BreakTheChain:
                return WithLedger(store, ledger => ledger with { Postings = [.. ledger.Postings.Select(row => With(row, PostingHash, Ledger.NoHash))] });
            case Bug.OverflowTheBalance:
                return WithLedger(store, ledger => ledger with { Postings = [.. ledger.Postings.Select(row => With(row, PostingBalance, unchecked((long)row[PostingBalance]! + long.MinValue)))] });
            case Bug.ReorderVersions when store.Ledger.Postings.Count > 1:
                return WithLedger(store, ledger => ledger with
                {
                    Postings = [.. ledger.Postings.Zip(ledger.Postings.Reverse(), (row, other) => With(row, PostingVersion, other[PostingVersion]))],
                });
            default:
                return store;
        }
    }

    private Task LockedAsync(string home, IReadOnlyList<HomeOperation> operations) =>
        home == BreakHome && operations.OfType<StoreOperation>().Any(store => store.Ledger.Postings.Count > 0)
            ? throw new IOException("The seam broke this commit.")
            : Task.CompletedTask;

    private static StoreOperation WithLedger(StoreOperation store, Func<LedgerChange, LedgerChange> change) =>
        new(store.Table, store.Key, store.Row, store.ExpectedVersion, store.ExpectedFence, store.OperationId)
        {
            IsFlush = store.IsFlush,
            NewPending = store.NewPending,
            RemovedPending = store.RemovedPending,
            Ledger = change(store.Ledger),
        };

    private static object?[] With(object?[] row, int column, object? value)
    {
        var changed = (object?[])row.Clone();
        changed[column] = value;
        return changed;
    }

    private IAccountLegs Legs(TransferLeg leg) => Grains.GetGrain<IAccountLegs>(leg.Account.Text);
}

/// <summary>The mistake of asking both accounts at once.</summary>
[Alias("banking.tests.IParallelLegsGrain")]
internal interface IParallelLegsGrain : IGrainWithIntegerKey
{
    [Transaction(TransactionOption.Create), Alias("PostAll")]
    Task<LegReceipt[]> PostAll(TransferLeg[] legs);
}

[Orleans.Concurrency.StatelessWorker, Orleans.Concurrency.Reentrant]
internal sealed class ParallelLegsGrain : Grain, IParallelLegsGrain
{
    /// <summary>What a network does to two messages: the credit arrives a little later.</summary>
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(3);

    public Task<LegReceipt[]> PostAll(TransferLeg[] legs) => Task.WhenAll(legs.Select(async leg =>
    {
        await Task.Delay(leg.AmountMinor > 0 ? Delay : default);
        return await GrainFactory.GetGrain<IAccountLegs>(leg.Account.Text).PostLeg(leg);
    }));
}
