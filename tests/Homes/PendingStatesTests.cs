using Banking.Homes;

namespace Banking.Tests.Homes;

/// <summary>The pure part of a Store call (engine rules 3.2 and 3.5).</summary>
public sealed class PendingStatesTests
{
    private static readonly StateRow<Counter> Row = StateRow<Counter>.Absent with { Version = 7, Sequence = 4, Committed = new Counter { Value = 40 } };

    [Fact]
    public void ACommitTakesItsPreparedStateAndDropsAllUpToIt()
    {
        var after = PendingStates.Merge(Row with { Pending = [Prepared(5, 50), Prepared(6, 60), Prepared(7, 70)] }, StoredMetadata.Empty, [], 6, null);
        Assert.Equal((6, 60), (after.Sequence, after.Committed.Value));
        Assert.Equal([7], after.Pending.Select(pending => pending.Sequence));
    }

    [Fact]
    public void AnAbortAppliesAlsoToThePreparesOfTheSameCall()
    {
        var after = PendingStates.Merge(Row with { Pending = [Prepared(5, 50)] }, StoredMetadata.Empty, [Prepared(6, 60), Prepared(7, 70)], null, 5);
        Assert.Equal([5], after.Pending.Select(pending => pending.Sequence));
    }

    [Fact]
    public void WhatIsLeftOfAnAbortedBatchIsDroppedByItsTimestamp()
    {
        // 8 was prepared on top of an aborted 7; the new 7 is younger than 8.
        var after = PendingStates.Merge(Row with { Pending = [Prepared(8, 80)] }, StoredMetadata.Empty, [Prepared(7, 71, time: 90)], null, null);
        Assert.Equal([(7L, 71)], after.Pending.Select(pending => (pending.Sequence, pending.State.Value)));

        var committed = PendingStates.Merge(Row with { Pending = [Prepared(8, 80)] }, StoredMetadata.Empty, [Prepared(7, 71, time: 90)], 7, null);
        Assert.Empty(committed.Pending);
    }

    [Fact]
    public void ACommitOfAnUnknownStateIsRefused()
    {
        Assert.Throws<InvalidOperationException>(() => PendingStates.Merge(Row, StoredMetadata.Empty, [], 5, null));
        Assert.Throws<InvalidOperationException>(() => PendingStates.Merge(Row with { Pending = [Prepared(5, 50)] }, StoredMetadata.Empty, [], 4, null));
        Assert.Throws<InvalidOperationException>(() => PendingStates.Merge(Row with { Pending = [Prepared(5, 50)] }, StoredMetadata.Empty, [], 5, 4));
    }

    [Fact]
    public void TheMetadatasTimeCoversEveryTimeInTheRow()
    {
        var after = PendingStates.Merge(Row with { Metadata = new StoredMetadata(30, [], null) }, new StoredMetadata(20, [], null), [Prepared(5, 50, time: 90)], null, null);
        Assert.Equal(90, after.Metadata.TimeTicks);
    }

    [Fact]
    public void APrepareReplacesOneWithItsSequence()
    {
        var after = PendingStates.Merge(Row with { Pending = [Prepared(5, 50)] }, StoredMetadata.Empty, [Prepared(5, 51, time: 60)], null, null);
        Assert.Equal([51], after.Pending.Select(pending => pending.State.Value));
    }

    private static PendingState<Counter> Prepared(long sequence, int value, long? time = null) =>
        new(sequence, Guid.NewGuid(), time ?? sequence * 10, null, new Counter { Value = value });

    internal sealed class Counter
    {
        public int Value { get; set; }
    }
}
