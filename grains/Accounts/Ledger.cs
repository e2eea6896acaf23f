using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Banking.Accounts;

/// <summary>The pure rules of the ledger: how a posting follows from a state, and the proof that rows follow from states.</summary>
internal static class Ledger
{
    public const string TransferKind = "transfer";

    /// <summary>What stands before the first posting's hash.</summary>
    public static readonly byte[] NoHash = new byte[SHA256.HashSizeInBytes];

    /// <summary>Appends a posting to the state. Throws <see cref="OverflowException"/> before anything changed.</summary>
    public static LedgerPosting Post(
        AccountState state, string account, string kind, string transferId, long amountMinor, string? counterparty, string? reference, DateTime now, Guid transactionId)
    {
        var balanceAfter = checked(state.PostedMinor + amountMinor);
        var postedAt = state.LastPostedAt > now ? state.LastPostedAt.Value : now; // clocks of silos differ; an account's time does not go back
        var posting = new LedgerPosting(
            state.PostingVersion + 1, kind, transferId, amountMinor, balanceAfter, counterparty, reference, postedAt, NoHash, transactionId);
        posting = posting with { Hash = HashOf(account, state.HeadHash, posting) };

        state.PostedMinor = balanceAfter;
        state.PostingVersion = posting.Version;
        state.HeadHash = posting.Hash;
        state.LastPostedAt = postedAt;
        state.NewPostings = state.NewPostings.Add(posting);
        return posting;
    }

    /// <summary>Appends an outcome to the state; its number is the next one.</summary>
    public static TransferEntry Append(AccountState state, TransferEntry entry)
    {
        var numbered = entry with { Number = state.EntryNumber + 1 };
        state.EntryNumber = numbered.Number;
        state.NewEntries = state.NewEntries.Add(numbered);
        return numbered;
    }

    /// <summary>The hash of a posting behind another; sql/home/V0001__ledger.sql has the same as a SQL expression.</summary>
    public static byte[] HashOf(string account, byte[] previousHash, LedgerPosting posting)
    {
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"{Convert.ToHexStringLower(previousHash)}|{account}|{posting.Version}|{posting.Kind}|{posting.TransferId}|{posting.AmountMinor}|{posting.BalanceAfterMinor}|{posting.Counterparty}|{posting.PostedAt:yyyy-MM-dd'T'HH:mm:ss.ffffff}Z|{(posting.Reference is null ? "-" : "=")}{posting.Reference}");
        return SHA256.HashData(Encoding.UTF8.GetBytes(text));
    }

    /// <summary>
    /// Rule 3.5: what is about to be written must follow from what is durable. Postings run from durable + 1 to the new
    /// version without a gap, the chain starts at the durable head, balances add up, outcomes are numbered without a gap.
    /// </summary>
    /// <exception cref="InvalidOperationException">It does not; nothing may be written.</exception>
    public static (IReadOnlyList<LedgerPosting> Postings, IReadOnlyList<TransferEntry> Entries) Prove(string account, AccountState durable, AccountState next)
    {
        var postings = next.NewPostings.Where(posting => posting.Version > durable.PostingVersion).ToList();
        var (version, balance, hash) = (durable.PostingVersion, durable.PostedMinor, durable.HeadHash);
        foreach (var posting in postings)
        {
            (version, balance) = (version + 1, checked(balance + posting.AmountMinor));
            Require(posting.Version == version, account, $"posting {version}", $"posting {posting.Version}");
            Require(posting.BalanceAfterMinor == balance, account, $"the balance after posting {version} to be the sum of its postings", "another");
            hash = HashOf(account, hash, posting);
            Require(posting.Hash.AsSpan().SequenceEqual(hash), account, $"posting {version} to continue the hash chain", "another hash");
        }

        Require(next.PostingVersion == version, account, $"{version} postings", $"a state with {next.PostingVersion}");
        Require(next.PostedMinor == balance && next.HeadHash.AsSpan().SequenceEqual(hash), account, "a state that its postings explain", "another balance or head hash");

        var entries = next.NewEntries.Where(entry => entry.Number > durable.EntryNumber).ToList();
        for (var index = 0; index < entries.Count; index++)
        {
            Require(entries[index].Number == durable.EntryNumber + index + 1, account, $"outcome {durable.EntryNumber + index + 1}", $"outcome {entries[index].Number}");
        }

        Require(next.EntryNumber == durable.EntryNumber + entries.Count, account, $"{durable.EntryNumber + entries.Count} outcomes", $"a state with {next.EntryNumber}");
        return (postings, entries);
    }

    private static void Require(bool holds, string account, string expected, string found)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"The lineage of account {account} is broken: expected {expected}, found {found}. Nothing was written.");
        }
    }
}
