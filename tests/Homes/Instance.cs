using Banking.Accounts;
using Banking.Homes;
using Banking.Tests.Servers;
using Orleans.Transactions;
using Orleans.Transactions.Abstractions;

namespace Banking.Tests.Homes;

/// <summary>A state as small as a state can be.</summary>
internal sealed class Counter
{
    public int Value { get; set; }

    public string? Text { get; set; }
}

/// <summary>
/// The storage of one activation, called as Orleans calls it: the ETag of the last answer goes into the next Store, the metadata is
/// one live object. Two of them with one key are two activations of one grain.
/// </summary>
internal sealed class Instance<TState> where TState : class, new()
{
    private readonly StateStorage<TState> storage;

    public Instance(HomeServer server, HomeRegistry silo, string grainKey)
    {
        silo.TryGet("A", out var home);
        (Home, GrainKey) = (home!, grainKey);
        storage = typeof(TState) == typeof(AccountState)
            ? (StateStorage<TState>)(object)new StateStorage<AccountState>(home!, silo, AccountTable.Instance, grainKey, server.Grains, () => HasLeft = true, (_, epoch, loaded) => Durable.Add((epoch, loaded)))
            : new StateStorage<TState>(home!, silo, GrainStateTable<TState>.Instance, RowKey, server.Grains, () => HasLeft = true, (_, epoch, loaded) => Durable.Add((epoch, loaded)));
    }

    public Home Home { get; }

    public string GrainKey { get; }

    /// <summary>The key in the state's table.</summary>
    public string RowKey => typeof(TState) == typeof(AccountState) ? GrainKey : $"counter/{GrainKey}";

    public string? ETag { get; set; }

    public TransactionalStateMetaData Metadata { get; set; } = new();

    /// <summary>Whether the storage asked its activation to leave.</summary>
    public bool HasLeft { get; private set; }

    /// <summary>What became durable: the load epoch, and whether a Load said so.</summary>
    public List<(long Epoch, bool Loaded)> Durable { get; } = [];

    public async Task<TransactionalStorageLoadResponse<TState>> LoadAsync()
    {
        var loaded = await storage.Load().WaitAsync(Bounds.Answer);
        (ETag, Metadata) = (loaded.ETag, loaded.Metadata);
        return loaded;
    }

    public async Task StoreAsync(IEnumerable<PendingTransactionState<TState>>? prepares = null, long? commitUpTo = null, long? abortAfter = null) =>
        ETag = await storage.Store(ETag, Metadata, prepares?.ToList(), commitUpTo, abortAfter).WaitAsync(Bounds.Answer);

    /// <summary>A transaction that this grain decides and that has another participant.</summary>
    public Task CommitAsync(PendingTransactionState<TState> prepared, ParticipantId other)
    {
        Metadata.CommitRecords.Add(Guid.Parse(prepared.TransactionId), new CommitRecord { Timestamp = prepared.TimeStamp, WriteParticipants = [other] });
        return StoreAsync([prepared], commitUpTo: prepared.SequenceId);
    }
}

/// <summary>Prepared states, each a second younger than the one before.</summary>
internal static class Prepare
{
    public static readonly DateTime Epoch = new(2030, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    public static PendingTransactionState<Counter> Of(long sequence, int value, ParticipantId manager = default, double? second = null, string? text = null) =>
        Of(sequence, new Counter { Value = value, Text = text }, manager, Guid.NewGuid(), second);

    public static PendingTransactionState<TState> Of<TState>(long sequence, TState state, ParticipantId manager, Guid transaction, double? second = null) where TState : class, new() => new()
    {
        SequenceId = sequence,
        TransactionId = transaction.ToString(),
        TimeStamp = Epoch.AddSeconds(second ?? sequence),
        TransactionManager = manager,
        State = state,
    };
}

/// <summary>How long tests wait for what must come.</summary>
internal static class Bounds
{
    public static readonly TimeSpan Answer = TimeSpan.FromSeconds(20);

    /// <summary>Polls until it is so.</summary>
    public static async Task UntilAsync(Func<Task<bool>> isSo, string what, int everyMs = 25)
    {
        for (var attempt = 0; attempt < 10_000 / everyMs; attempt++)
        {
            if (await isSo())
            {
                return;
            }

            await Task.Delay(everyMs);
        }

        Assert.Fail($"Expected within 10 s: {what}.");
    }
}

/// <summary>A seam that stops writes with their rows locked, once told to.</summary>
internal sealed class Barrier
{
    private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously), opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Func<HomeOperation, bool>? stops;

    /// <summary>Ends when a batch with such an operation has its locks.</summary>
    public Task Reached => reached.Task.WaitAsync(Bounds.Answer);

    public void StopAt(Func<HomeOperation, bool> operation) => Volatile.Write(ref stops, operation);

    public void Open() => opened.TrySetResult();

    public async Task PassAsync(string home, IReadOnlyList<HomeOperation> members)
    {
        if (Volatile.Read(ref stops) is { } stop && members.Any(stop))
        {
            Volatile.Write(ref stops, null);
            reached.TrySetResult();
            await opened.Task.WaitAsync(Bounds.Answer); // a test that failed must not hang its silo
        }
    }
}
