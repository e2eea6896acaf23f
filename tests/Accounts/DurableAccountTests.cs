using Banking.Accounts;

namespace Banking.Tests.Accounts;

/// <summary>What a debit may conclude from a ticket (engine rule 5.3), and how many transactions an account admits (section 6).</summary>
public sealed class DurableAccountTests
{
    private readonly DurableAccount durable = new();

    [Fact]
    public void AnIdWithoutAnOutcomeSinceTheTicketIsNew()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        Assert.False(durable.Knows(State(3), durable.IssueTicket(), "new"));
    }

    [Fact]
    public void AnOutcomeThatIsNotDurableYetIsKnown()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        Assert.True(durable.Knows(State(4, "queued"), durable.IssueTicket(), "queued"));
    }

    [Fact]
    public void AnOutcomeThatBecameDurableSinceTheTicketIsKnown()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        var ticket = durable.IssueTicket();
        durable.BecameDurable(State(5, "first", "second"), epoch: 7, loaded: false);
        Assert.True(durable.Knows(State(5), ticket, "first"));
        Assert.True(durable.Knows(State(5), ticket, "second"));
        Assert.False(durable.Knows(State(5), ticket, "third"));
    }

    [Fact]
    public void WhatWasDurableBeforeTheTicketIsLeftToTheLookUp()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        durable.BecameDurable(State(4, "before"), epoch: 7, loaded: false);
        Assert.False(durable.Knows(State(4), durable.IssueTicket(), "before"));
    }

    [Fact]
    public void ATicketOfAnotherLoadProvesNothing()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        var ticket = durable.IssueTicket();
        durable.BecameDurable(State(3), epoch: 8, loaded: true);
        Assert.Null(durable.Knows(State(3), ticket, "new"));
    }

    [Fact]
    public void ATicketFromBeforeWhatALoadFoundProvesNothing()
    {
        durable.BecameDurable(State(3), epoch: 7, loaded: true);
        Assert.Null(durable.Knows(State(3), new Ticket(7, 2), "new"));
    }

    [Fact]
    public void AFastAccountAdmitsMoreThanASlowOne()
    {
        durable.BecameDurable(State(0), epoch: 1, loaded: true);
        Assert.True(durable.Admits(63));
        Assert.False(durable.Admits(10_000));

        // Postings become durable by the hundred at once: each took a hundredth of the time.
        durable.Begins(0);
        durable.Begins(9_999);
        for (var version = 100; version <= 6_000; version += 100)
        {
            durable.BecameDurable(new AccountState { PostingVersion = version }, epoch: 1, loaded: false);
        }

        Assert.True(durable.Admits(10_000));
    }

    private static AccountState State(long entryNumber, params string[] newIds) => new()
    {
        EntryNumber = entryNumber,
        NewEntries =
        [
            .. newIds.Select((id, index) => new TransferEntry(
                entryNumber - newIds.Length + index + 1, id, EntryStatus.Posted, "B", 1, "EUR", null, null, "tests", default, 0, null, null, null, Guid.NewGuid())),
        ],
    };
}
