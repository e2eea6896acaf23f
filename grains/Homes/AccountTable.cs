using System.Text.Json;
using System.Text.Json.Serialization;
using Banking.Accounts;

namespace Banking.Homes;

/// <summary>An account's state in the columns of <c>account</c>, its postings and outcomes in <c>posting</c> and <c>transfer</c>.</summary>
internal sealed class AccountTable : StateTable<AccountState>
{
    private const int Kind = EngineColumns, Holder = Kind + 1, Currency = Kind + 2, Status = Kind + 3, Posted = Kind + 4, Overdraft = Kind + 5,
        PostingVersion = Kind + 6, HeadHash = Kind + 7, LastPostedAt = Kind + 8, EntryNumber = Kind + 9, SettingsVersion = Kind + 10,
        OpenedAt = Kind + 11, OpenedBy = Kind + 12, OpeningKey = Kind + 13, Opening = Kind + 14, Labels = Kind + 15;

    private AccountTable() : base(
        "account", "number",
        "kind", "holder", "currency", "status", "posted_minor", "overdraft_limit_minor", "posting_version", "head_hash", "last_posted_at",
        "entry_number", "settings_version", "opened_at", "opened_by", "opening_key", "opening", "labels")
    {
    }

    public static AccountTable Instance { get; } = new();

    public override void Write(string key, AccountState committed, object?[] row)
    {
        var settings = committed.Settings
            ?? throw new InvalidOperationException($"Account {key} is not open; nothing may be written to it."); // 3.4: opening is its own transaction
        row[Kind] = NameOf(AccountNumber.Parse(key).Kind);
        row[Holder] = settings.Holder;
        row[Currency] = settings.Currency;
        row[Status] = settings.Status == AccountStatus.Open ? "open" : "closed";
        row[Posted] = committed.PostedMinor;
        row[Overdraft] = settings.OverdraftLimitMinor;
        row[PostingVersion] = committed.PostingVersion;
        row[HeadHash] = committed.HeadHash;
        row[LastPostedAt] = committed.LastPostedAt;
        row[EntryNumber] = committed.EntryNumber;
        row[SettingsVersion] = settings.Version;
        row[OpenedAt] = settings.OpenedAt;
        row[OpenedBy] = settings.OpenedBy;
        row[OpeningKey] = settings.OpeningKey;
        row[Opening] = settings.Opening;
        row[Labels] = settings.Labels;
    }

    public override AccountState Read(object?[] row) => new()
    {
        Settings = new AccountSettings(
            (string)row[Holder]!,
            (string)row[Currency]!,
            (string)row[Status]! == "open" ? AccountStatus.Open : AccountStatus.Closed,
            (long)row[Overdraft]!,
            (string)row[Labels]!,
            (long)row[SettingsVersion]!,
            (DateTime)row[OpenedAt]!,
            (string)row[OpenedBy]!,
            (string)row[OpeningKey]!,
            (string)row[Opening]!),
        PostedMinor = (long)row[Posted]!,
        PostingVersion = (long)row[PostingVersion]!,
        HeadHash = (byte[])row[HeadHash]!,
        LastPostedAt = (DateTime?)row[LastPostedAt],
        EntryNumber = (long)row[EntryNumber]!,
    };

    /// <summary>A hot account's queue grows by a row for each transfer; with all postings before it in each, it would grow with the square.</summary>
    public override string Serialize(AccountState state, AccountState? behind)
    {
        if (behind is not null)
        {
            state = state.Copy();
            state.DropDurable(behind.PostingVersion, behind.EntryNumber);
        }

        return JsonSerializer.Serialize(state, AccountJson.Default.AccountState);
    }

    public override AccountState Deserialize(string text, AccountState? behind)
    {
        var state = JsonSerializer.Deserialize(text, AccountJson.Default.AccountState)!;
        if (behind is not null)
        {
            state.NewPostings = [.. behind.NewPostings.Where(posting => state.NewPostings is not [var first, ..] || posting.Version < first.Version), .. state.NewPostings];
            state.NewEntries = [.. behind.NewEntries.Where(entry => state.NewEntries is not [var first, ..] || entry.Number < first.Number), .. state.NewEntries];
        }

        return state;
    }

    /// <summary>
    /// The ledger rows of one write. A pending state's outcomes are in the table as <c>prepared</c> (5.5): a second transfer
    /// with the same id fails on the unique key before any manager can commit it, and SQL shows what is in flight.
    /// </summary>
    public override LedgerChange Explain(string key, StateRow<AccountState> before, StateRow<AccountState> after)
    {
        var (postings, entries) = Ledger.Prove(key, before.Committed, after.Committed);
        var prepared = Prepared(before);
        var stillPrepared = Prepared(after);
        var posted = entries.Where(entry => prepared.ContainsKey((entry.Number, entry.Id))).ToList();

        return new LedgerChange(
            [.. postings.Select(posting => Row(key, posting))],
            [
                .. entries.Except(posted).Select(entry => Row(key, entry, NameOf(entry.Status))),
                .. stillPrepared.Where(entry => !prepared.ContainsKey(entry.Key)).Select(entry => Row(key, entry.Value, "prepared")),
            ],
            [.. posted.Select(entry => (key, entry.Number))],
            [.. prepared.Keys.Where(entry => !stillPrepared.ContainsKey(entry) && !posted.Exists(other => other.Number == entry.Number && other.Id == entry.Id)).Select(entry => (key, entry.Number))]);
    }

    /// <summary>A row of <c>transfer</c> as the record that callers see. Prepared rows are pending.</summary>
    public static TransferRecord ReadTransfer(object?[] row)
    {
        var currency = Banking.Currency.Parse((string)row[6]!);
        var id = (string)row[2]!;
        var code = (string?)row[12];
        return new TransferRecord(
            id,
            (long)row[1]!,
            (string)row[3]! switch
            {
                "prepared" => TransferStatus.Pending,
                "posted" => TransferStatus.Posted,
                _ => TransferStatus.Refused,
            },
            AccountNumber.Parse((string)row[0]!),
            AccountNumber.Parse((string)row[4]!),
            new Money((long)row[5]!, currency),
            (string?)row[7],
            Pairs.Read((string?)row[8]),
            (DateTime)row[10]!,
            row[11] is long balance ? new Money(balance, currency) : null,
            code is null ? null : new Refusal(Codes.Parse(code), (string)row[13]!) { TransferId = id, Account = (string?)row[14] },
            (string)row[9]!);
    }

    /// <summary>A row of <c>posting</c> as the record that callers see.</summary>
    public static Posting ReadPosting(object?[] row, Currency currency) => new(
        AccountNumber.Parse((string)row[0]!),
        (long)row[1]!,
        (string)row[2]!,
        (string)row[3]!,
        new Money((long)row[4]!, currency),
        new Money((long)row[5]!, currency),
        row[6] is string counterparty ? AccountNumber.Parse(counterparty) : null,
        (string?)row[7],
        (DateTime)row[8]!,
        Convert.ToHexStringLower((byte[])row[9]!));

    public static string NameOf(AccountKind kind) => kind switch
    {
        AccountKind.Customer => "customer",
        AccountKind.Business => "business",
        _ => "internal",
    };

    private static string NameOf(EntryStatus status) => status switch
    {
        EntryStatus.Posted => "posted",
        EntryStatus.Refused => "refused",
        _ => "abandoned",
    };

    private static Dictionary<(long Number, string Id), TransferEntry> Prepared(StateRow<AccountState> row)
    {
        var prepared = new Dictionary<(long, string), TransferEntry>();
        foreach (var pending in row.Pending)
        {
            foreach (var entry in pending.State.NewEntries)
            {
                // A refusal or tombstone in here belongs to a settlement that is queued before this state; it is written when that commits.
                if (entry.Number > row.Committed.EntryNumber && entry.Status == EntryStatus.Posted)
                {
                    prepared.TryAdd((entry.Number, entry.Id), entry);
                }
            }
        }

        return prepared;
    }

    private static object?[] Row(string account, LedgerPosting posting) =>
    [
        account, posting.Version, posting.Kind, posting.TransferId, posting.AmountMinor, posting.BalanceAfterMinor, posting.Counterparty,
        posting.Reference, posting.PostedAt, posting.Hash, posting.TransactionId.ToByteArray(bigEndian: true),
    ];

    private static object?[] Row(string source, TransferEntry entry, string status) =>
    [
        source, entry.Number, entry.Id, status, entry.Destination, entry.AmountMinor, entry.Currency, entry.Reference, entry.Metadata,
        entry.RequestedBy, entry.DecidedAt, entry.BalanceAfterMinor, entry.Code, entry.Detail, entry.RefusedAccount,
        entry.TransactionId.ToByteArray(bigEndian: true),
    ];
}

/// <summary>Labels and metadata as canonical JSON: names in ordinal order, so that equal pairs are equal texts.</summary>
internal static class Pairs
{
    private static readonly IReadOnlyDictionary<string, string> None = new Dictionary<string, string>();

    public static string? Format(IReadOnlyDictionary<string, string>? pairs) => pairs is null or { Count: 0 }
        ? null
        : JsonSerializer.Serialize(new SortedDictionary<string, string>(pairs.ToDictionary(), StringComparer.Ordinal), AccountJson.Default.SortedDictionaryStringString);

    public static IReadOnlyDictionary<string, string> Read(string? text) => string.IsNullOrEmpty(text)
        ? None
        : JsonSerializer.Deserialize(text, AccountJson.Default.DictionaryStringString)!;
}

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AccountState))]
[JsonSerializable(typeof(OpeningPayload))]
[JsonSerializable(typeof(SortedDictionary<string, string>))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class AccountJson : JsonSerializerContext;
