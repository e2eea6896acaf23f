using Orleans.Concurrency;

namespace Banking;

/// <summary>
/// One account. The key is the account number (<see cref="AccountNumber.Text"/>). Its state is transactional and lives
/// in the home database that the number names; opening is <see cref="IHomeGrain.OpenAccount"/>, moving money is
/// <see cref="ITransferGrain"/>.
/// </summary>
/// <remarks>
/// All calls throw <see cref="HomeUnavailableException"/> while the home cannot be reached and <see cref="TimeoutException"/>
/// when no answer came in time; both are safe to retry, since nothing here changes anything.
/// </remarks>
[Alias("banking.IAccountGrain")]
public interface IAccountGrain : IGrainWithStringKey
{
    /// <summary>
    /// The account as it is after every transfer that was answered before this call: a transaction of its own that
    /// waits for earlier writes. Null when there is no such account.
    /// </summary>
    [Transaction(TransactionOption.Create), ReadOnly, Alias("GetAccount")]
    Task<Account?> GetAccount();

    /// <summary>
    /// The account's postings in the order of their versions, up to the version that <see cref="GetAccount"/> would show
    /// at the start of this call. Positions of the page are posting versions. Null when there is no such account.
    /// </summary>
    /// <param name="page">Which page; <see cref="PageRequest.From"/> and <see cref="PageRequest.To"/> bound <see cref="Posting.PostedAt"/>.</param>
    [Alias("GetPostings")]
    Task<Page<Posting>?> GetPostings(PageRequest page);
}

/// <summary>An account as it was at one posting version. Balances are in <see cref="Currency"/>.</summary>
/// <param name="Number">The account number, which names home and kind.</param>
/// <param name="Holder">Who owns it: the subject of the holder's tokens, up to 64 visible ASCII characters.</param>
/// <param name="Currency">The one currency of the account.</param>
/// <param name="Status">Open or closed.</param>
/// <param name="Posted">The sum of all postings; negative down to the overdraft limit, without bound on internal accounts.</param>
/// <param name="Held">The sum of open holds, not available for other use.</param>
/// <param name="OverdraftLimit">How far below zero the posted balance may go, not negative; zero on internal accounts, which have no limit at all.</param>
/// <param name="Version">How many postings the account has.</param>
/// <param name="SettingsVersion">Grows with each change of settings (not of balances); the ETag over HTTP.</param>
/// <param name="OpenedAt">When it was opened, UTC.</param>
/// <param name="Labels">Up to 20 labels of the holder's.</param>
[GenerateSerializer, Immutable, Alias("banking.Account")]
public sealed record Account(
    [property: Id(0)] AccountNumber Number,
    [property: Id(1)] string Holder,
    [property: Id(2)] Currency Currency,
    [property: Id(3)] AccountStatus Status,
    [property: Id(4)] Money Posted,
    [property: Id(5)] Money Held,
    [property: Id(6)] Money OverdraftLimit,
    [property: Id(7)] long Version,
    [property: Id(8)] long SettingsVersion,
    [property: Id(9)] DateTime OpenedAt,
    [property: Id(10)] IReadOnlyDictionary<string, string> Labels)
{
    /// <summary>posted - held + overdraft limit; null on internal accounts, which have no limit.</summary>
    public Money? Available => Number.Kind == AccountKind.Internal ? null : Posted - Held + OverdraftLimit;
}

/// <summary>Whether an account takes postings.</summary>
public enum AccountStatus
{
    /// <summary>It does.</summary>
    Open,
    /// <summary>It never will again.</summary>
    Closed,
}

/// <summary>A signed amount on one account, written once and never changed.</summary>
/// <param name="Account">The account.</param>
/// <param name="Version">1 for the account's first posting, then without a gap.</param>
/// <param name="Kind">What moved the money, such as <c>transfer</c>.</param>
/// <param name="TransferId">The transfer that it belongs to.</param>
/// <param name="Amount">Negative for a debit, positive for a credit.</param>
/// <param name="BalanceAfter">The posted balance after it.</param>
/// <param name="Counterparty">The other account; null where there are several.</param>
/// <param name="Reference">The payer's text; null when none was given.</param>
/// <param name="PostedAt">When, UTC, to the microsecond; never earlier than the posting before it.</param>
/// <param name="Hash">SHA-256 over this posting and the hash before it, 64 hexadecimal digits.</param>
[GenerateSerializer, Immutable, Alias("banking.Posting")]
public sealed record Posting(
    [property: Id(0)] AccountNumber Account,
    [property: Id(1)] long Version,
    [property: Id(2)] string Kind,
    [property: Id(3)] string TransferId,
    [property: Id(4)] Money Amount,
    [property: Id(5)] Money BalanceAfter,
    [property: Id(6)] AccountNumber? Counterparty,
    [property: Id(7)] string? Reference,
    [property: Id(8)] DateTime PostedAt,
    [property: Id(9)] string Hash);
