using System.Text;
using Banking.Accounts;
using Banking.Homes;
using Banking.Tests.Servers;
using Orleans.Storage;
using Orleans.Transactions;
using Orleans.Transactions.Abstractions;

namespace Banking.Tests.Homes;

/// <summary>
/// Section 3 of docs/engine.md, rule by rule, and what the documentation of <see cref="ITransactionalStateStorage{TState}"/> asks for.
/// </summary>
public sealed class StoreAndLoadTests(HomeServer server) : IClassFixture<HomeServer>
{
    // ------------------------------------------------------------ what Orleans documents

    [Fact]
    public async Task AStateThatWasNeverStoredIsNewAndHasNoETag()
    {
        await using var silo = await server.StartSiloAsync();
        var loaded = await Of(silo).LoadAsync();
        Assert.Null(loaded.ETag);
        Assert.Equal((0, 0), (loaded.CommittedSequenceId, loaded.CommittedState.Value));
        Assert.Empty(loaded.PendingStates);
        Assert.Empty(loaded.Metadata.CommitRecords);
    }

    [Fact]
    public async Task WhatWasStoredIsLoadedByTheNextActivation()
    {
        await using var silo = await server.StartSiloAsync();
        var first = await LoadedAsync(silo);
        var manager = Manager(server.NewKey());
        var prepared = Prepare.Of(2, 20, manager);
        await first.CommitAsync(Prepare.Of(1, 10), manager);
        await first.StoreAsync([prepared]);

        var loaded = await Of(silo, first.GrainKey).LoadAsync();
        Assert.Equal((first.ETag, 1, 10), (loaded.ETag, loaded.CommittedSequenceId, loaded.CommittedState.Value));
        var pending = Assert.Single(loaded.PendingStates);
        Assert.Equal((2, prepared.TransactionId, prepared.TimeStamp, 20), (pending.SequenceId, pending.TransactionId, pending.TimeStamp, pending.State.Value));
        Assert.Equal((manager.Name, manager.Reference.GrainId, manager.SupportedRoles), (pending.TransactionManager.Name, pending.TransactionManager.Reference.GrainId, pending.TransactionManager.SupportedRoles));
        var (id, record) = Assert.Single(loaded.Metadata.CommitRecords);
        Assert.Equal((Assert.Single(first.Metadata.CommitRecords).Key, Prepare.Epoch.AddSeconds(1)), (id, record.Timestamp));
        Assert.Equal(manager.Reference.GrainId, Assert.Single(record.WriteParticipants).Reference.GrainId);
    }

    [Fact]
    public async Task APrepareReplacesTheOneWithItsSequenceAndNoPreparesAddNone()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10), Prepare.Of(2, 20)]);
        await instance.StoreAsync([Prepare.Of(2, 21, second: 3)]);
        await instance.StoreAsync([], commitUpTo: 1);
        await instance.StoreAsync(null, commitUpTo: 2);
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal((2, 21), (loaded.CommittedSequenceId, loaded.CommittedState.Value));
        Assert.Empty(loaded.PendingStates);
    }

    [Fact]
    public async Task AnotherETagThanTheLastAnswersIsAConflictAndWritesNothing()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        var old = instance.ETag;
        await instance.StoreAsync([Prepare.Of(2, 20)], commitUpTo: 2);
        foreach (var wrong in (string?[])[old, "wrong", null])
        {
            instance.ETag = wrong;
            await Assert.ThrowsAsync<InconsistentStateException>(() => instance.StoreAsync([Prepare.Of(3, 30)], commitUpTo: 3));
            Assert.Equal(20, (await instance.LoadAsync()).CommittedState.Value);
        }
    }

    [Fact]
    public async Task AStateMayBeLargerThan64KiBAndMayHoldAnyText()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        var text = string.Concat(Enumerable.Repeat("it's \"big\" \\ \u20ac \U0001F600 \0\r\n", 20_000));
        await instance.StoreAsync([Prepare.Of(1, 1, text: text)], commitUpTo: 1);
        await instance.StoreAsync([Prepare.Of(2, 2, text: text + "2")]);
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal(text, loaded.CommittedState.Text);
        Assert.Equal(text + "2", Assert.Single(loaded.PendingStates).State.Text);
    }

    // ------------------------------------------------------------ 3.1 guard

    [Fact]
    public async Task AfterAFailedStoreEveryStoreIsRefusedUntilALoad()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync(commitUpTo: 7));

        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync());
        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync([Prepare.Of(2, 20)], commitUpTo: 2));
        Assert.Equal(10, (await instance.LoadAsync()).CommittedState.Value);
        await instance.StoreAsync([Prepare.Of(2, 20)], commitUpTo: 2);
    }

    [Fact]
    public async Task WhileALoadOrAStoreIsUnderWayEveryStoreIsRefused()
    {
        foreach (var stopsAtLoad in (bool[])[true, false])
        {
            var barrier = new Barrier();
            await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
            var instance = await LoadedAsync(silo);
            await instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
            barrier.StopAt(operation => operation is LoadOperation == stopsAtLoad);
            var running = stopsAtLoad ? instance.LoadAsync() : instance.StoreAsync([Prepare.Of(2, 20)]);
            await barrier.Reached;
            await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync());
            await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync([Prepare.Of(2, 21)], commitUpTo: 2));
            barrier.Open();
            await running;
        }
    }

    [Fact]
    public async Task AfterAFailedLoadEveryStoreIsRefused()
    {
        await using var proxy = FaultProxy.To(server.Server.Port);
        await using var silo = await server.StartSiloAsync(proxy: proxy);
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        proxy.RefusesNew = true;
        proxy.CutAll();
        await Assert.ThrowsAsync<HomeUnavailableException>(instance.LoadAsync);
        proxy.RefusesNew = false;
        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync());
        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync([Prepare.Of(2, 20)]));
    }

    // ------------------------------------------------------------ 3.2 aborts and leftovers (the pure part is in PendingStatesTests)

    [Fact]
    public async Task AnAbortInTheMiddleLeavesWhatIsBelowAndWhatIsPreparedAnew()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10), Prepare.Of(2, 20), Prepare.Of(3, 30), Prepare.Of(4, 40)]);
        // 2 was cancelled, and with it 3 and 4; a new 2 was prepared: Orleans says so in one call.
        await instance.StoreAsync([Prepare.Of(2, 21, second: 9), Prepare.Of(3, 31, second: 10)], abortAfter: 2);
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal([(1L, 10), (2L, 21)], loaded.PendingStates.Select(pending => (pending.SequenceId, pending.State.Value)));
        Assert.True(loaded.Metadata.TimeStamp >= Prepare.Epoch.AddSeconds(9));
    }

    [Fact]
    public async Task LeftoversOfAnAbortedBatchAreGoneFromTheTable()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10), Prepare.Of(2, 20), Prepare.Of(3, 30)]);
        // The cancel of 2 and 3 was swallowed by a new prepare of 2 and 3 of which only 2 came.
        await instance.StoreAsync([Prepare.Of(2, 21, second: 9)], commitUpTo: 2);
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal(21, loaded.CommittedState.Value);
        Assert.Empty(loaded.PendingStates);
    }

    [Fact]
    public async Task PendingStatesAreLoadedInTheOrderOfTheirSequenceAlsoWithAGap()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(100, 3)]);
        await instance.StoreAsync([Prepare.Of(2, 1), Prepare.Of(11, 2)]);
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal([2, 11, 100], loaded.PendingStates.Select(pending => pending.SequenceId));
    }

    // ------------------------------------------------------------ 3.3 one Load at a time

    [Fact]
    public async Task ASecondLoadIsRefusedWhileOneRuns()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        var instance = Of(silo);
        barrier.StopAt(operation => operation is LoadOperation);
        var running = instance.LoadAsync();
        await barrier.Reached;
        await Assert.ThrowsAsync<InvalidOperationException>(instance.LoadAsync);
        barrier.Open();
        await running;
        await instance.LoadAsync();
    }

    // ------------------------------------------------------------ 3.4 an absent row is inserted

    [Fact]
    public async Task OfTwoActivationsThatFoundNoRowOnlyOneMakesIt()
    {
        await using var silo = await server.StartSiloAsync();
        await using var other = await server.StartSiloAsync();
        var winner = await LoadedAsync(silo);
        var loser = await LoadedAsync(other, winner.GrainKey);
        await winner.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        await Assert.ThrowsAsync<InconsistentStateException>(() => loser.StoreAsync([Prepare.Of(1, 11)], commitUpTo: 1));
        Assert.Equal(10, (await Of(silo, winner.GrainKey).LoadAsync()).CommittedState.Value);
    }

    [Fact]
    public async Task ARowThatAppearsBetweenLockAndInsertIsAConflictOfThatMemberAlone()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        await using var other = await server.StartSiloAsync();
        var (loser, neighbour) = (await LoadedAsync(silo), await LoadedAsync(silo));
        barrier.StopAt(operation => operation is StoreOperation);
        var stores = new[] { loser.StoreAsync([Prepare.Of(1, 11)], commitUpTo: 1), neighbour.StoreAsync([Prepare.Of(1, 1)], commitUpTo: 1) };
        await barrier.Reached;
        var winner = await LoadedAsync(other, loser.GrainKey);
        await winner.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        barrier.Open();
        await Assert.ThrowsAsync<InconsistentStateException>(() => stores[0]);
        await stores[1];
        Assert.Equal(10, (await Of(other, loser.GrainKey).LoadAsync()).CommittedState.Value);
    }

    [Fact]
    public async Task LoadingAnAbsentRowWritesNothing()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.LoadAsync();
        Assert.Equal(0L, await server.QueryAsync($"SELECT COUNT(*) FROM grain_state WHERE state_key = '{instance.RowKey}'"));
    }

    [Fact]
    public async Task AnAccountThatIsNotOpenIsNeverWritten()
    {
        await using var silo = await server.StartSiloAsync();
        var account = new Instance<AccountState>(server, silo, server.NewAccount().Text);
        await account.LoadAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => account.StoreAsync([Prepare.Of(1, new AccountState(), default, Guid.NewGuid())], commitUpTo: 1));
        Assert.Equal(0L, await server.QueryAsync($"SELECT COUNT(*) FROM account WHERE number = '{account.GrainKey}'"));
    }

    // ------------------------------------------------------------ 3.5 lineage is proved

    [Theory]
    [InlineData("a gap in the postings"), InlineData("a balance that is not their sum"), InlineData("a hash that does not continue the chain")]
    [InlineData("a state without its last posting"), InlineData("a state with another head"), InlineData("a gap in the outcomes")]
    public async Task AStateThatItsPostingsDoNotExplainIsNotWritten(string damage)
    {
        await using var silo = await server.StartSiloAsync();
        var account = await OpenedAsync(silo);
        var state = Posted(Posted((await account.LoadAsync()).CommittedState, account.GrainKey, 100), account.GrainKey, 50);
        var postings = state.NewPostings;
        switch (damage)
        {
            case "a gap in the postings":
                state.NewPostings = [postings[1]];
                break;
            case "a balance that is not their sum":
                state.NewPostings = [postings[0], postings[1] with { BalanceAfterMinor = 151 }];
                break;
            case "a hash that does not continue the chain":
                state.NewPostings = [postings[0] with { Hash = postings[1].Hash }, postings[1]];
                break;
            case "a state without its last posting":
                state.NewPostings = [postings[0]];
                break;
            case "a state with another head":
                state.HeadHash = postings[0].Hash;
                break;
            default:
                state.EntryNumber += 1;
                break;
        }

        await Assert.ThrowsAsync<InvalidOperationException>(() => account.StoreAsync([Prepare.Of(2, state, default, Guid.NewGuid())], commitUpTo: 2));
        Assert.Equal(0L, await server.QueryAsync($"SELECT COUNT(*) + (SELECT posted_minor FROM account WHERE number = '{account.GrainKey}') FROM posting WHERE account = '{account.GrainKey}'"));
    }

    [Fact]
    public async Task ACommitMustNameAPreparedStateAboveTheCommittedOne()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10), Prepare.Of(2, 20)], commitUpTo: 1);
        foreach (var wrong in (long[])[0, 1, 3])
        {
            await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync(commitUpTo: wrong));
            var loaded = await instance.LoadAsync();
            Assert.Equal((10, 1), (loaded.CommittedState.Value, loaded.PendingStates.Count));
        }
    }

    // ------------------------------------------------------------ 3.6 the state carries what is not durable

    [Fact]
    public async Task SupersededPreparesLeaveTheirPostingsAndOutcomes()
    {
        await using var silo = await server.StartSiloAsync();
        var account = await OpenedAsync(silo);
        var state = (await account.LoadAsync()).CommittedState;
        for (var count = 0; count < 3; count++)
        {
            state = Posted(state, account.GrainKey, 10, withEntry: true);
        }

        // Three transactions commit in one batch; Orleans hands over only the last of their states.
        await account.StoreAsync([Prepare.Of(4, state, default, Guid.NewGuid())], commitUpTo: 4);
        Assert.Equal("1,2,3", await TextAsync($"SELECT GROUP_CONCAT(version ORDER BY version) FROM posting WHERE account = '{account.GrainKey}'"));
        Assert.Equal("1,2,3", await TextAsync($"SELECT GROUP_CONCAT(number ORDER BY number) FROM transfer WHERE source = '{account.GrainKey}' AND status = 'posted'"));
        Assert.Equal(30L, await server.QueryAsync($"SELECT posted_minor FROM account WHERE number = '{account.GrainKey}'"));
    }

    // ------------------------------------------------------------ 3.7 fence

    [Fact]
    public async Task ALoadFencesOffEarlierActivationsAndTheLoserLeavesForGood()
    {
        await using var silo = await server.StartSiloAsync();
        await using var other = await server.StartSiloAsync();
        var loser = await LoadedAsync(silo);
        await loser.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        var winner = await LoadedAsync(other, loser.GrainKey);

        await Assert.ThrowsAsync<InconsistentStateException>(() => loser.StoreAsync([Prepare.Of(2, 20)], commitUpTo: 2));
        Assert.True(loser.HasLeft);
        await Assert.ThrowsAsync<InconsistentStateException>(loser.LoadAsync); // else it would fence the winner, and so on
        await Assert.ThrowsAsync<InconsistentStateException>(() => loser.StoreAsync());

        await winner.StoreAsync([Prepare.Of(2, 21)], commitUpTo: 2);
        Assert.Equal(21, (await Of(silo, winner.GrainKey).LoadAsync()).CommittedState.Value);
    }

    [Fact]
    public async Task ALoadWaitsForACommitThatIsOnItsWay()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        await using var other = await server.StartSiloAsync();
        var first = await LoadedAsync(silo);
        await first.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        barrier.StopAt(operation => operation is StoreOperation);
        var storing = first.StoreAsync([Prepare.Of(2, 20)], commitUpTo: 2);
        await barrier.Reached;
        var loading = Of(other, first.GrainKey).LoadAsync();
        await UntilSomebodyWaitsForALockAsync();
        barrier.Open();
        await storing;
        Assert.Equal(20, (await loading).CommittedState.Value);
    }

    // ------------------------------------------------------------ 3.8 no cancel of what was committed

    [Theory]
    [InlineData(true), InlineData(false)]
    public async Task TheCancelOfWhatTheManagerCommittedIsRefusedAndTheNextLoadCommitsIt(bool byItsRecord)
    {
        await using var silo = await server.StartSiloAsync();
        var transaction = Guid.NewGuid();
        var participant = await LoadedAsync(silo);
        var manager = await OpenedAsync(silo);
        var managerId = server.Participant("account", "account", manager.GrainKey);
        await participant.StoreAsync([Prepare.Of(1, new Counter { Value = 10 }, managerId, transaction)]);
        var posted = Posted((await manager.LoadAsync()).CommittedState, manager.GrainKey, 10, transaction: transaction);
        await manager.CommitAsync(Prepare.Of(2, posted, default, transaction), Manager(participant.GrainKey));
        if (!byItsRecord)
        {
            manager.Metadata.CommitRecords.Clear(); // a stale activation of the participant said "confirmed" for an id that it did not know
            await manager.StoreAsync([Prepare.Of(3, posted, default, Guid.NewGuid())], commitUpTo: 3);
        }

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => participant.StoreAsync(abortAfter: 0));
        Assert.IsNotType<InconsistentStateException>(refused);
        Assert.DoesNotContain(manager.GrainKey, refused.Message, StringComparison.Ordinal);
        var loaded = await participant.LoadAsync();
        Assert.Equal((10, 0), (loaded.CommittedState.Value, loaded.PendingStates.Count));
        Assert.Equal(0L, await server.QueryAsync($"SELECT COUNT(*) FROM cancelled_transaction WHERE account = '{manager.GrainKey}'"));
    }

    [Fact]
    public async Task WhatWasCancelledAtAParticipantNeverCommitsAtTheManager()
    {
        await using var silo = await server.StartSiloAsync();
        var (participant, manager) = (await LoadedAsync(silo), await LoadedAsync(silo));
        await manager.StoreAsync([Prepare.Of(1, 1)], commitUpTo: 1);
        var prepared = Prepare.Of(2, 20);
        await participant.StoreAsync([Prepare.Of(1, new Counter { Value = 10 }, Manager(manager.GrainKey), Guid.Parse(prepared.TransactionId))]);
        await participant.StoreAsync(abortAfter: 0);

        // The manager's commit was on its way all the time.
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => manager.CommitAsync(prepared, Manager(participant.GrainKey)));
        Assert.IsNotType<InconsistentStateException>(refused); // it owns the row; it shall load, not leave
        Assert.False(manager.HasLeft);
        var loaded = await manager.LoadAsync();
        Assert.Equal((1, 0), (loaded.CommittedState.Value, loaded.Metadata.CommitRecords.Count));
        await manager.CommitAsync(Prepare.Of(2, 21), Manager(participant.GrainKey));
        Assert.Empty((await participant.LoadAsync()).PendingStates);
    }

    [Fact]
    public async Task TheCancelWaitsForACommitThatIsOnItsWay()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        await using var other = await server.StartSiloAsync();
        var (participant, manager) = (await LoadedAsync(other), await LoadedAsync(silo));
        await manager.StoreAsync([Prepare.Of(1, 1)], commitUpTo: 1);
        var prepared = Prepare.Of(2, 20);
        await participant.StoreAsync([Prepare.Of(1, new Counter { Value = 10 }, Manager(manager.GrainKey), Guid.Parse(prepared.TransactionId))]);
        barrier.StopAt(operation => operation is StoreOperation);
        var committing = manager.CommitAsync(prepared, Manager(participant.GrainKey));
        await barrier.Reached;
        var cancelling = participant.StoreAsync(abortAfter: 0);
        await UntilSomebodyWaitsForALockAsync();
        barrier.Open();
        await committing;
        await Assert.ThrowsAsync<InvalidOperationException>(() => cancelling);
        Assert.Equal(10, (await participant.LoadAsync()).CommittedState.Value);
    }

    [Fact]
    public async Task AManagersFirstRowIsThereBeforeItDecides()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        await using var other = await server.StartSiloAsync();
        var (participant, manager) = (await LoadedAsync(other), await LoadedAsync(silo));
        var prepared = Prepare.Of(1, 20);
        await participant.StoreAsync([Prepare.Of(1, new Counter { Value = 10 }, Manager(manager.GrainKey), Guid.Parse(prepared.TransactionId))]);
        barrier.StopAt(operation => operation is StoreOperation { ExpectsAbsent: true });
        var committing = manager.CommitAsync(prepared, Manager(participant.GrainKey));
        await barrier.Reached; // it has looked for cancelled transactions and found none; no row is there to be locked
        await participant.StoreAsync(abortAfter: 0);
        barrier.Open();
        await Assert.ThrowsAsync<InvalidOperationException>(() => committing);
        var loaded = await manager.LoadAsync();
        Assert.Equal((0, 0), (loaded.CommittedState.Value, loaded.Metadata.CommitRecords.Count));
    }

    [Fact]
    public async Task ADecisionIsNeverDeferred()
    {
        await using var silo = await server.StartSiloAsync();
        var (participant, manager) = (await LoadedAsync(silo), await LoadedAsync(silo));
        await manager.StoreAsync([Prepare.Of(1, 1)], commitUpTo: 1);
        var transaction = Guid.NewGuid();
        await participant.StoreAsync([Prepare.Of(1, new Counter { Value = 10 }, Manager(manager.GrainKey), transaction)]);
        await participant.StoreAsync(abortAfter: 0);
        manager.Metadata.CommitRecords.Add(transaction, new CommitRecord { Timestamp = Prepare.Epoch, WriteParticipants = [Manager(participant.GrainKey)] });
        await Assert.ThrowsAsync<InvalidOperationException>(() => manager.StoreAsync());
    }

    [Fact]
    public async Task CancelledTransactionsAreForgottenAfterADay()
    {
        await using var silo = await server.StartSiloAsync();
        var manager = server.NewKey();
        await server.QueryAsync($"INSERT INTO cancelled_transaction SELECT 'counter/{manager}', UNHEX(LPAD(seq, 32, '0')), UTC_TIMESTAMP(6) - INTERVAL 25 HOUR FROM (SELECT 1 seq UNION SELECT 2 UNION SELECT 3) old");
        await server.QueryAsync($"INSERT INTO cancelled_transaction VALUES ('counter/{manager}', UNHEX(LPAD(4, 32, '0')), UTC_TIMESTAMP(6) - INTERVAL 23 HOUR)");
        var participant = await LoadedAsync(silo);
        await participant.StoreAsync([Prepare.Of(1, 1, Manager(manager))]);
        await participant.StoreAsync(abortAfter: 0);
        Assert.Equal(2L, await server.QueryAsync($"SELECT COUNT(*) FROM cancelled_transaction WHERE account = 'counter/{manager}'"));
    }

    // ------------------------------------------------------------ 3.9 what may wait

    [Fact]
    public async Task MetadataAloneWaitsAndIsWrittenWhateverHappensToTheActivation()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.CommitAsync(Prepare.Of(1, 10), Manager(server.NewKey()));
        var version = instance.ETag;
        instance.Metadata.CommitRecords.Clear();
        await instance.StoreAsync();
        Assert.Equal(version, instance.ETag);
        Assert.True(await HasRecordsAsync(instance.RowKey), "a write that could wait");
        await Bounds.UntilAsync(async () => !await HasRecordsAsync(instance.RowKey), "the record is collected");
        Assert.Equal(long.Parse(version!, System.Globalization.CultureInfo.InvariantCulture), await server.QueryAsync($"SELECT version FROM grain_state WHERE state_key = '{instance.RowKey}'"));
    }

    [Fact]
    public async Task WhatWaitsGoesBeforeALoadAndWithTheNextWrite()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.CommitAsync(Prepare.Of(1, 10), Manager(server.NewKey()));
        instance.Metadata.CommitRecords.Clear();
        await instance.StoreAsync();
        Assert.Empty((await Of(silo, instance.GrainKey).LoadAsync()).Metadata.CommitRecords);

        var next = await LoadedAsync(silo, instance.GrainKey);
        await next.CommitAsync(Prepare.Of(2, 20), Manager(server.NewKey()));
        next.Metadata.CommitRecords.Clear();
        await next.StoreAsync();
        await next.StoreAsync([Prepare.Of(3, 30)]);
        Assert.False(await HasRecordsAsync(next.RowKey));
    }

    [Fact]
    public async Task ACrashBeforeAFlushLeavesACommitRecordThatIsConfirmedAgain()
    {
        await using var proxy = FaultProxy.To(server.Server.Port);
        await using var crashed = await server.StartSiloAsync(proxy: proxy);
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(crashed);
        await instance.CommitAsync(Prepare.Of(1, 10), Manager(server.NewKey()));
        proxy.RefusesNew = true;
        proxy.CutAll(); // nothing that waits can be written any more
        instance.Metadata.CommitRecords.Clear();
        await instance.StoreAsync();
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Equal((10, 1), (loaded.CommittedState.Value, loaded.Metadata.CommitRecords.Count));
    }

    [Fact]
    public async Task AFlushThatTheHomeDidNotTakeWaitsAgain()
    {
        await using var proxy = FaultProxy.To(server.Server.Port);
        await using var silo = await server.StartSiloAsync(proxy: proxy);
        var instance = await LoadedAsync(silo);
        await instance.CommitAsync(Prepare.Of(1, 10), Manager(server.NewKey()));
        var cut = proxy.CutBefore("SELECT 1; COMMIT");
        instance.Metadata.CommitRecords.Clear();
        await instance.StoreAsync();
        proxy.RefusesNew = true;
        await cut.WaitAsync(Bounds.Answer);
        await Bounds.UntilAsync(() => Task.FromResult(!instance.Home.IsAvailable), "the circuit opens");
        proxy.RefusesNew = false;
        await Bounds.UntilAsync(async () => !await HasRecordsAsync(instance.RowKey), "the record is collected");
    }

    [Fact]
    public async Task AReadFailsAtAnActivationThatIsStale()
    {
        await using var silo = await server.StartSiloAsync();
        await using var other = await server.StartSiloAsync();
        var stale = await LoadedAsync(silo);
        await stale.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        stale.Metadata.TimeStamp = Prepare.Epoch.AddSeconds(5);
        await stale.StoreAsync(); // a read stamps its time, and needs no write
        await LoadedAsync(other, stale.GrainKey);
        stale.Metadata.TimeStamp = Prepare.Epoch.AddSeconds(6);
        await Assert.ThrowsAsync<InconsistentStateException>(() => stale.StoreAsync());
        Assert.True(stale.HasLeft);
    }

    // ------------------------------------------------------------ 3.10 what is known to be durable

    [Fact]
    public async Task OnlyALoadAndASuccessfulStoreSayWhatIsDurable()
    {
        await using var silo = await server.StartSiloAsync();
        var instance = await LoadedAsync(silo);
        await instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        await instance.LoadAsync();
        await instance.StoreAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => instance.StoreAsync(commitUpTo: 7));
        Assert.Equal([(0, true), (0, false), (1, true)], instance.Durable);
    }

    [Fact]
    public async Task MetadataIsSerializedInTheCall()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        var instance = await LoadedAsync(silo);
        barrier.StopAt(operation => operation is StoreOperation);
        var storing = instance.StoreAsync([Prepare.Of(1, 10)], commitUpTo: 1);
        // Orleans fills the next batch while this one is written.
        instance.Metadata.CommitRecords.Add(Guid.NewGuid(), new CommitRecord { Timestamp = Prepare.Epoch, WriteParticipants = [Manager(server.NewKey())] });
        instance.Metadata.TimeStamp = Prepare.Epoch.AddYears(1);
        await barrier.Reached;
        barrier.Open();
        await storing;
        var loaded = await Of(silo, instance.GrainKey).LoadAsync();
        Assert.Empty(loaded.Metadata.CommitRecords);
        Assert.Equal(Prepare.Epoch.AddSeconds(1), loaded.Metadata.TimeStamp);
    }

    // ------------------------------------------------------------ plumbing

    private Instance<Counter> Of(HomeRegistry silo, string? key = null) => new(server, silo, key ?? server.NewKey());

    private async Task<Instance<Counter>> LoadedAsync(HomeRegistry silo, string? key = null)
    {
        var instance = Of(silo, key);
        await instance.LoadAsync();
        return instance;
    }

    private ParticipantId Manager(string key) => server.Participant("counter", "counter", key);

    private async Task<Instance<AccountState>> OpenedAsync(HomeRegistry silo)
    {
        var account = new Instance<AccountState>(server, silo, server.NewAccount(AccountKind.Internal).Text);
        await account.LoadAsync();
        var opened = new AccountState
        {
            Settings = new AccountSettings("holder", "EUR", AccountStatus.Open, 0, "{}", 1, Prepare.Epoch, "tests", account.GrainKey, "{}"),
        };
        await account.StoreAsync([Prepare.Of(1, opened, default, Guid.NewGuid())], commitUpTo: 1);
        return account;
    }

    private static AccountState Posted(AccountState before, string account, long minor, bool withEntry = false, Guid? transaction = null)
    {
        var state = before.Copy();
        var (id, transactionId) = (TransferId.Of(AccountNumber.Parse(account), Guid.NewGuid().ToString()).Text, transaction ?? Guid.NewGuid());
        var posting = Ledger.Post(state, account, Ledger.TransferKind, id, minor, account, null, Prepare.Epoch, transactionId);
        if (withEntry)
        {
            Ledger.Append(state, new TransferEntry(0, id, EntryStatus.Posted, account, minor, "EUR", null, null, "tests", Prepare.Epoch, posting.BalanceAfterMinor, null, null, null, transactionId));
        }

        return state;
    }

    private async Task<bool> HasRecordsAsync(string rowKey) =>
        await server.QueryAsync($"SELECT commit_records IS NOT NULL FROM grain_state WHERE state_key = '{rowKey}'") is 1L or 1;

    private async Task<string?> TextAsync(string sql) => await server.QueryAsync(sql) switch
    {
        string text => text,
        byte[] bytes => Encoding.UTF8.GetString(bytes),
        _ => null,
    };

    /// <summary>InnoDB shows what it showed before to those who ask more often than every 100 ms.</summary>
    private Task UntilSomebodyWaitsForALockAsync() => Bounds.UntilAsync(
        async () => await server.Server.AdministerAsync("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'") is > 0L,
        "somebody waits for a row lock",
        everyMs: 150);
}
