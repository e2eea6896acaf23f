using Banking.Tests.Servers;
using CsCheck;
using Orleans.Storage;

namespace Banking.Tests.Homes;

/// <summary>
/// Random sequences of what Orleans does to one state, against a model of it: sections 3.2, 3.4, 3.7 and the documentation of Load and
/// Store, all at once.
/// </summary>
public sealed class StorageModelTests(HomeServer server) : IClassFixture<HomeServer>
{
    private enum Step
    {
        Prepare,
        PrepareTwo,
        PrepareAndCommit,
        CommitFirst,
        CommitLast,
        AbortLast,
        AbortAll,
        Reload,
        TakeOver,
        StaleStore,
    }

    [Fact]
    public async Task AnySequenceOfStoresAndLoadsLeavesWhatTheModelSays()
    {
        await using var silo = await server.StartSiloAsync();
        await using var other = await server.StartSiloAsync();
        await Gen.Enum<Step>().List[1, 14].SampleAsync(
            async steps =>
            {
                var key = server.NewKey();
                var (instance, isOther) = (new Instance<Counter>(server, silo, key), false);
                await instance.LoadAsync();
                var (committed, pending, next, second) = ((Sequence: 0L, Value: 0), new SortedDictionary<long, int>(), 1L, 0);
                foreach (var step in steps)
                {
                    switch (step)
                    {
                        case Step.Prepare or Step.PrepareTwo:
                            var added = Enumerable.Range(0, step == Step.Prepare ? 1 : 2).Select(_ => Prepare.Of(next++, ++second, second: second)).ToList();
                            await instance.StoreAsync(added);
                            added.ForEach(state => pending[state.SequenceId] = state.State.Value);
                            break;
                        case Step.PrepareAndCommit:
                            committed = (next, ++second);
                            pending.Clear();
                            await instance.StoreAsync([Prepare.Of(next++, second, second: second)], commitUpTo: committed.Sequence);
                            break;
                        case Step.CommitFirst or Step.CommitLast when pending.Count > 0:
                            var chosen = step == Step.CommitFirst ? pending.First() : pending.Last();
                            committed = (chosen.Key, chosen.Value);
                            foreach (var sequence in pending.Keys.Where(sequence => sequence <= chosen.Key).ToList())
                            {
                                pending.Remove(sequence);
                            }

                            await instance.StoreAsync(commitUpTo: chosen.Key);
                            break;
                        case Step.AbortLast or Step.AbortAll when pending.Count > 0:
                            var above = step == Step.AbortLast ? pending.Keys.Last() - 1 : committed.Sequence;
                            foreach (var sequence in pending.Keys.Where(sequence => sequence > above).ToList())
                            {
                                pending.Remove(sequence);
                            }

                            next = above + 1;
                            await instance.StoreAsync(abortAfter: above);
                            break;
                        case Step.TakeOver or Step.StaleStore:
                            var stale = instance;
                            isOther = !isOther;
                            instance = new Instance<Counter>(server, isOther ? other : silo, key);
                            await instance.LoadAsync();
                            if (step == Step.StaleStore && stale.ETag is not null)
                            {
                                await Assert.ThrowsAsync<InconsistentStateException>(() => stale.StoreAsync([Prepare.Of(next, -1)], commitUpTo: next));
                            }

                            break;
                    }

                    if (step == Step.Reload)
                    {
                        await instance.LoadAsync();
                    }
                }

                var loaded = await new Instance<Counter>(server, other, key).LoadAsync();
                Assert.Equal(committed, (loaded.CommittedSequenceId, loaded.CommittedState.Value));
                Assert.Equal(pending.Select(state => (state.Key, state.Value)), loaded.PendingStates.Select(state => (state.SequenceId, state.State.Value)));
                Assert.True(loaded.Metadata.TimeStamp.Ticks >= loaded.PendingStates.Select(state => state.TimeStamp.Ticks).DefaultIfEmpty().Max());
            },
            iter: 100,
            threads: 4);
    }
}
