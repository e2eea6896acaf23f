using System.Collections.Immutable;
using Orleans.Transactions.Abstractions;

namespace Banking.Accounts;

/// <summary>
/// The transactional state of an account: small, whatever its history. History is in the tables; here is only what is not
/// durable yet, since of several transactions that commit together only the last state reaches the storage (rule 3.6).
/// </summary>
internal sealed class AccountState
{
    /// <summary>Null until the account is opened.</summary>
    public AccountSettings? Settings { get; set; }

    public long PostedMinor { get; set; }

    public long PostingVersion { get; set; }

    /// <summary>Hash of the newest posting, 32 zero bytes before the first.</summary>
    public byte[] HeadHash { get; set; } = Ledger.NoHash;

    public DateTime? LastPostedAt { get; set; }

    /// <summary>How many outcomes of transfers this account has as their source.</summary>
    public long EntryNumber { get; set; }

    /// <summary>Postings that were not durable when this state was made, oldest first.</summary>
    public ImmutableArray<LedgerPosting> NewPostings { get; set; } = [];

    /// <summary>Outcomes that were not durable when this state was made, oldest first.</summary>
    public ImmutableArray<TransferEntry> NewEntries { get; set; } = [];

    public AccountState Copy() => (AccountState)MemberwiseClone();

    /// <summary>Forgets what the tables have by now.</summary>
    public void DropDurable(long postingVersion, long entryNumber)
    {
        if (NewPostings is [var firstPosting, ..] && firstPosting.Version <= postingVersion)
        {
            NewPostings = NewPostings.RemoveAll(posting => posting.Version <= postingVersion);
        }

        if (NewEntries is [var firstEntry, ..] && firstEntry.Number <= entryNumber)
        {
            NewEntries = NewEntries.RemoveAll(entry => entry.Number <= entryNumber);
        }
    }
}

/// <summary>What an operator or the holder decides about an account; replaced as a whole.</summary>
internal sealed record AccountSettings(
    string Holder,
    string Currency,
    AccountStatus Status,
    long OverdraftLimitMinor,
    string Labels,
    long Version,
    DateTime OpenedAt,
    string OpenedBy,
    string OpeningKey,
    string Opening);

/// <summary>A posting as the state carries it until it is durable.</summary>
internal sealed record LedgerPosting(
    long Version,
    string Kind,
    string TransferId,
    long AmountMinor,
    long BalanceAfterMinor,
    string? Counterparty,
    string? Reference,
    DateTime PostedAt,
    byte[] Hash,
    Guid TransactionId);

/// <summary>How a transfer ended at its source.</summary>
internal enum EntryStatus
{
    Posted,
    Refused,
    Abandoned,
}

/// <summary>The outcome of a transfer id at its source as the state carries it until it is durable.</summary>
internal sealed record TransferEntry(
    long Number,
    string Id,
    EntryStatus Status,
    string Destination,
    long AmountMinor,
    string Currency,
    string? Reference,
    string? Metadata,
    string RequestedBy,
    DateTime DecidedAt,
    long? BalanceAfterMinor,
    string? Code,
    string? Detail,
    string? RefusedAccount,
    Guid TransactionId);

/// <summary>Copies a state for a transaction: what it refers to is immutable, so the copy is shallow.</summary>
internal sealed class AccountStateCopier : ITransactionDataCopier<AccountState>
{
    public AccountState DeepCopy(AccountState original) => original.Copy();
}
