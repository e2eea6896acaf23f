using Banking.Accounts;
using Banking.Homes;
using Banking.Tests.Servers;

namespace Banking.Tests.Homes;

/// <summary>
/// Texts as they are in databases since the first version: they are written so today and must be readable for ever. A text may be
/// added here; none is changed or taken away.
/// </summary>
public sealed class GoldenRowsTests
{
    private const string Records =
        """[{"id":"01234567-89ab-cdef-0123-456789abcdef","ticks":640000000000000001,"to":[{"grain":"account/B-CUS-000000000002-10","state":"account","roles":3},{"grain":"account/A-INT-000000000001-00","state":"account","roles":3}]}]""";

    private const string Manager = """{"grain":"account/A-INT-000000000001-00","state":"account","roles":3}""";

    private const string State =
        """{"Settings":{"Holder":"alice","Currency":"EUR","Status":0,"OverdraftLimitMinor":500,"Labels":"{}","Version":1,"OpenedAt":"2030-01-01T00:00:00Z","OpenedBy":"operator","OpeningKey":"k","Opening":"{}"},"PostedMinor":250,"PostingVersion":2,"HeadHash":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=","LastPostedAt":"2030-01-01T00:00:01.123456Z","EntryNumber":1,"NewPostings":[{"Version":2,"Kind":"transfer","TransferId":"t","AmountMinor":-50,"BalanceAfterMinor":250,"Counterparty":"B-CUS-000000000002-10","Reference":"rent","PostedAt":"2030-01-01T00:00:01.123456Z","Hash":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=","TransactionId":"01234567-89ab-cdef-0123-456789abcdef"}],"NewEntries":[{"Number":1,"Id":"t","Status":0,"Destination":"B-CUS-000000000002-10","AmountMinor":50,"Currency":"EUR","Reference":"rent","RequestedBy":"alice","DecidedAt":"2030-01-01T00:00:01.123456Z","BalanceAfterMinor":250,"TransactionId":"01234567-89ab-cdef-0123-456789abcdef"}]}""";

    [Fact]
    public void ARowHoldsOnlyWhatThePendingRowBeforeItHasNot()
    {
        var first = new AccountState { PostingVersion = 7 };
        foreach (var _ in Enumerable.Range(0, 3))
        {
            Ledger.Post(first, "A-CUS-1", Ledger.TransferKind, "t", 1, null, null, DateTime.UnixEpoch, Guid.Empty);
        }

        var second = first.Copy();
        Ledger.Post(second, "A-CUS-1", Ledger.TransferKind, "t", 1, null, null, DateTime.UnixEpoch, Guid.Empty);
        var text = AccountTable.Instance.Serialize(second, first);
        Assert.Equal([11L], AccountTable.Instance.Deserialize(text, null).NewPostings.Select(posting => posting.Version));
        Assert.Equal([8L, 9, 10, 11], AccountTable.Instance.Deserialize(text, first).NewPostings.Select(posting => posting.Version));

        // A row from before that, or one whose predecessor was committed meanwhile.
        var whole = AccountTable.Instance.Serialize(second, null);
        Assert.Equal([8L, 9, 10, 11], AccountTable.Instance.Deserialize(whole, first).NewPostings.Select(posting => posting.Version));
        Assert.Equal([8L, 9, 10, 11], AccountTable.Instance.Deserialize(whole, null).NewPostings.Select(posting => posting.Version));
    }

    [Fact]
    public void CommitRecordsAreReadAndWrittenAsEver()
    {
        using var orleans = HomeServer.MakeClient();
        var read = StoredMetadata.Read(640000000000000002, Records);
        var commit = Assert.Single(read.Commits);
        Assert.Equal((new Guid("01234567-89ab-cdef-0123-456789abcdef"), 640000000000000001), (commit.Id, commit.TimeTicks));
        Assert.Equal(["B-CUS-000000000002-10", "A-INT-000000000001-00"], commit.Participants.Select(participant => participant.GrainKey));
        Assert.Equal(Records, StoredMetadata.From(read.ToOrleans((IGrainFactory)orleans.Services.GetService(typeof(IGrainFactory))!)).Text);
    }

    [Fact]
    public void AManagerIsReadAndWrittenAsEver()
    {
        using var orleans = HomeServer.MakeClient();
        var read = ManagerReference.Read(Manager).ToOrleans((IGrainFactory)orleans.Services.GetService(typeof(IGrainFactory))!);
        Assert.Equal(("account", "account/A-INT-000000000001-00"), (read.Name, read.Reference.GrainId.ToString()));
        Assert.Equal(Orleans.Transactions.ParticipantId.Role.Resource | Orleans.Transactions.ParticipantId.Role.Manager, read.SupportedRoles);
        Assert.Equal(Manager, ManagerReference.Format(ManagerReference.From(read)));
        Assert.Equal("A-INT-000000000001-00", ManagerReference.Read(Manager).StateKey);
        Assert.Equal("hold/A-1", new ManagerReference("hold/A-1", "hold", 3).StateKey);
    }

    [Fact]
    public void APendingAccountStateIsReadAndWrittenAsEver()
    {
        var read = AccountTable.Instance.Deserialize(State, null);
        Assert.Equal((250, 2, 1, "alice"), (read.PostedMinor, read.PostingVersion, read.EntryNumber, read.Settings!.Holder));
        Assert.Equal((-50, "rent"), (Assert.Single(read.NewPostings).AmountMinor, Assert.Single(read.NewEntries).Reference));
        Assert.Equal(State, AccountTable.Instance.Serialize(read, null));
    }

    [Fact]
    public void GrainTypeAndStateNameAreInStoredRows() =>
        Assert.Equal(("account", "account"), (AccountGrain.GrainTypeName, AccountGrain.StateName));
}
