using Orleans.Concurrency;

namespace Banking;

/// <summary>
/// The transfers that one account sends. The key is the source account's number. A transfer is one Orleans transaction
/// over both accounts, also when they live in different databases; the source account is the authority on its outcome.
/// </summary>
[Alias("banking.ITransferGrain")]
public interface ITransferGrain : IGrainWithStringKey
{
    /// <summary>
    /// Moves money once. The same (source, <see cref="TransferOrder.Key"/>) gets the same outcome for ever, refusals
    /// included. Answers within 10 s; a transfer without an outcome by then is <see cref="TransferStatus.Pending"/> and goes on:
    /// ask again with the same order.
    /// </summary>
    /// <param name="order">What to move. Its amount must be positive.</param>
    /// <returns>
    /// The outcome. Stored refusals are those with status 422 other than <see cref="Code.IdempotencyKeyReused"/>. Not stored,
    /// nothing changed and safe to resend: <see cref="Code.AccountNotFound"/>, <see cref="Code.ValidationFailed"/>,
    /// <see cref="Code.InvalidAmount"/>, <see cref="Code.HomeUnavailable"/>, <see cref="Code.Overloaded"/>.
    /// </returns>
    [Alias("Transfer")]
    Task<TransferOutcome> Transfer(TransferOrder order);

    /// <summary>
    /// What <see cref="Transfer"/> would answer now; stores and reserves nothing. A transfer that would succeed comes back
    /// <see cref="TransferStatus.Posted"/> with the balance after it; its id and time are without meaning.
    /// </summary>
    [Alias("DryRun")]
    Task<TransferOutcome> DryRun(TransferOrder order);

    /// <summary>A transfer of this account by id, after everything that was answered before; null when there is none (which proves nothing while one may be under way).</summary>
    [Alias("GetTransfer")]
    Task<TransferRecord?> GetTransfer(string id);

    /// <summary>
    /// The transfers that the account sent, in the order of their outcomes; positions are outcome numbers. Null when there
    /// is no such account.
    /// </summary>
    /// <param name="page">Which page; its times bound <see cref="TransferRecord.DecidedAt"/>.</param>
    /// <param name="filter">Which transfers; an empty filter for all.</param>
    [Alias("GetTransfers")]
    Task<Page<TransferRecord>?> GetTransfers(PageRequest page, TransferFilter filter);
}

/// <summary>An order to move money from the grain's account.</summary>
/// <param name="Key">The Idempotency-Key, 1 to 128 visible ASCII characters without quote and backslash.</param>
/// <param name="To">The payee's account.</param>
/// <param name="Amount">Positive; in the currency of both accounts.</param>
/// <param name="RequestedBy">Who asks: the subject of the token, or the back end's name. Kept for audit, not part of the payload.</param>
/// <param name="Reference">Up to 140 characters without control characters; null for none.</param>
/// <param name="Metadata">At most 20 pairs of 40 and 200 characters; null for none. The payee does not see it.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferOrder")]
public sealed record TransferOrder(
    [property: Id(0)] string Key,
    [property: Id(1)] AccountNumber To,
    [property: Id(2)] Money Amount,
    [property: Id(3)] string RequestedBy,
    [property: Id(4)] string? Reference = null,
    [property: Id(5)] IReadOnlyDictionary<string, string>? Metadata = null);

/// <summary>Where a transfer stands.</summary>
public enum TransferStatus
{
    /// <summary>No outcome yet. Not final.</summary>
    Pending,
    /// <summary>Money moved, on both accounts. Final.</summary>
    Posted,
    /// <summary>Nothing moved and nothing will under this key. Final.</summary>
    Refused,
}

/// <summary>The answer to an order.</summary>
/// <param name="Status">Where it stands.</param>
/// <param name="Id">The transfer's id.</param>
/// <param name="Receipt">Set when posted.</param>
/// <param name="Refusal">Set when refused, and when nothing was stored because the order could not be taken.</param>
/// <param name="Replayed">True when an earlier request with the same key got this answer first.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferOutcome")]
public sealed record TransferOutcome(
    [property: Id(0)] TransferStatus Status,
    [property: Id(1)] string Id,
    [property: Id(2)] TransferRecord? Receipt,
    [property: Id(3)] Refusal? Refusal,
    [property: Id(4)] bool Replayed);

/// <summary>A transfer as its source account keeps it.</summary>
/// <param name="Id">The id.</param>
/// <param name="Number">1 for the first outcome of the source account, then without a gap.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="From">The payer's account.</param>
/// <param name="To">The payee's account.</param>
/// <param name="Amount">The amount.</param>
/// <param name="Reference">The payer's text; null when none was given.</param>
/// <param name="Metadata">The payer's pairs; empty when none were given.</param>
/// <param name="DecidedAt">When it was posted or refused, UTC.</param>
/// <param name="BalanceAfter">The source's posted balance after it; null unless posted.</param>
/// <param name="Refusal">Why it was refused; null unless refused.</param>
/// <param name="RequestedBy">Who asked.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferRecord")]
public sealed record TransferRecord(
    [property: Id(0)] string Id,
    [property: Id(1)] long Number,
    [property: Id(2)] TransferStatus Status,
    [property: Id(3)] AccountNumber From,
    [property: Id(4)] AccountNumber To,
    [property: Id(5)] Money Amount,
    [property: Id(6)] string? Reference,
    [property: Id(7)] IReadOnlyDictionary<string, string> Metadata,
    [property: Id(8)] DateTime DecidedAt,
    [property: Id(9)] Money? BalanceAfter,
    [property: Id(10)] Refusal? Refusal,
    [property: Id(11)] string RequestedBy);

/// <summary>Which transfers of a list are wanted; a null member does not filter.</summary>
/// <param name="Status">Only those that stand so.</param>
/// <param name="Reference">Only those with exactly this text.</param>
/// <param name="Key">Only the one of this Idempotency-Key.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferFilter")]
public sealed record TransferFilter(
    [property: Id(0)] TransferStatus? Status = null,
    [property: Id(1)] string? Reference = null,
    [property: Id(2)] string? Key = null);
