using System.Collections.Frozen;

namespace Banking;

/// <summary>
/// Every named error of the bank, in the order in which checks run and docs list them. The name on the wire is
/// <see cref="Codes.NameOf"/>, the HTTP status <see cref="Codes.StatusOf"/>.
/// </summary>
public enum Code
{
    /// <summary>The body is not JSON of the documented shape.</summary>
    MalformedRequest,
    /// <summary>A field breaks its rule; the errors say which and how.</summary>
    ValidationFailed,
    /// <summary>An amount is not a decimal string with at most the digits of its currency, or out of range.</summary>
    InvalidAmount,
    /// <summary>An account number is misspelt: characters, length or check digits.</summary>
    InvalidAccountNumber,
    /// <summary>A currency is not an active ISO 4217 code.</summary>
    InvalidCurrency,
    /// <summary>The home is not one of this bank's homes.</summary>
    UnknownHome,
    /// <summary>The request moves money or opens an account and carries no Idempotency-Key.</summary>
    IdempotencyKeyMissing,
    /// <summary>The Idempotency-Key is too long, has a forbidden character, or came twice.</summary>
    IdempotencyKeyInvalid,
    /// <summary>The cursor is not one that this list gave out.</summary>
    InvalidCursor,

    /// <summary>No valid token.</summary>
    Unauthenticated,
    /// <summary>The token lacks the scope.</summary>
    Forbidden,
    /// <summary>No such account, or not yours.</summary>
    AccountNotFound,
    /// <summary>No such transfer, or not yours.</summary>
    TransferNotFound,
    /// <summary>No such hold, or not yours.</summary>
    HoldNotFound,
    /// <summary>No such journal.</summary>
    JournalNotFound,
    /// <summary>No such route.</summary>
    NotFound,

    /// <summary>The route does not know the method.</summary>
    MethodNotAllowed,
    /// <summary>Accept excludes all that the route can give.</summary>
    NotAcceptable,
    /// <summary>The body is larger than the route takes.</summary>
    PayloadTooLarge,
    /// <summary>The body is not application/json.</summary>
    UnsupportedMediaType,

    /// <summary>The same key is being worked on; ask again.</summary>
    RequestInProgress,
    /// <summary>The hold was captured, released or expired before.</summary>
    HoldAlreadyResolved,
    /// <summary>The account's state forbids it, such as closing with an open hold.</summary>
    AccountStateConflict,
    /// <summary>A second person must approve.</summary>
    ApprovalRequired,
    /// <summary>If-Match names another version.</summary>
    PreconditionFailed,
    /// <summary>If-Match is required.</summary>
    PreconditionRequired,

    /// <summary>The key was used with another payload.</summary>
    IdempotencyKeyReused,
    /// <summary>The outcome was unknown, nothing moved, the key is spent: send again with a new one.</summary>
    TransferAbandoned,
    /// <summary>Payer and payee are one account.</summary>
    SameAccount,
    /// <summary>The payee's account does not exist.</summary>
    DestinationNotFound,
    /// <summary>The amount's currency is not that of both accounts.</summary>
    CurrencyMismatch,
    /// <summary>An account is closed.</summary>
    AccountClosed,
    /// <summary>An account is frozen in this direction.</summary>
    AccountFrozen,
    /// <summary>A limit per transfer or per day would be passed.</summary>
    LimitExceeded,
    /// <summary>The available balance is smaller than the amount.</summary>
    InsufficientFunds,
    /// <summary>The balance would pass what 64 bits of minor units hold.</summary>
    BalanceOverflow,
    /// <summary>A capture is larger than its hold.</summary>
    CaptureExceedsHold,
    /// <summary>Reversals would pass the original amount.</summary>
    ReversalExceedsOriginal,
    /// <summary>The entries of a journal do not sum to zero per currency.</summary>
    JournalNotBalanced,
    /// <summary>Another member of an atomic batch was refused.</summary>
    BatchMemberFailed,
    /// <summary>The account to be closed still has money or owes some.</summary>
    BalanceNotZero,

    /// <summary>More requests than the client's quota; retry later.</summary>
    RateLimited,
    /// <summary>A bug or broken infrastructure; nothing is known to have changed.</summary>
    InternalError,
    /// <summary>A home database cannot be reached; nothing changed, the key is unused, safe to resend.</summary>
    HomeUnavailable,
    /// <summary>Too much work is queued for an account; nothing changed, the key is unused, safe to resend.</summary>
    Overloaded,
}

/// <summary>The one table of code ↔ name ↔ HTTP status ↔ retryable, for HTTP and Orleans callers alike.</summary>
public static class Codes
{
    private static readonly (Code Code, string Name, int Status, string Title)[] Table =
    [
        (Code.MalformedRequest, "malformed_request", 400, "The body is not JSON of the documented shape."),
        (Code.ValidationFailed, "validation_failed", 400, "A field breaks its rule."),
        (Code.InvalidAmount, "invalid_amount", 400, "The amount is not valid."),
        (Code.InvalidAccountNumber, "invalid_account_number", 400, "The account number is misspelt."),
        (Code.InvalidCurrency, "invalid_currency", 400, "The currency is not an ISO 4217 code of this bank."),
        (Code.UnknownHome, "unknown_home", 400, "The home is not one of this bank's."),
        (Code.IdempotencyKeyMissing, "idempotency_key_missing", 400, "The Idempotency-Key header is required."),
        (Code.IdempotencyKeyInvalid, "idempotency_key_invalid", 400, "The Idempotency-Key is not valid."),
        (Code.InvalidCursor, "invalid_cursor", 400, "The cursor was not given out by this list."),
        (Code.Unauthenticated, "unauthenticated", 401, "A valid bearer token is required."),
        (Code.Forbidden, "forbidden", 403, "The token lacks a scope."),
        (Code.AccountNotFound, "account_not_found", 404, "There is no such account."),
        (Code.TransferNotFound, "transfer_not_found", 404, "There is no such transfer."),
        (Code.HoldNotFound, "hold_not_found", 404, "There is no such hold."),
        (Code.JournalNotFound, "journal_not_found", 404, "There is no such journal."),
        (Code.NotFound, "not_found", 404, "There is no such route."),
        (Code.MethodNotAllowed, "method_not_allowed", 405, "The route does not know this method."),
        (Code.NotAcceptable, "not_acceptable", 406, "Accept excludes all that the route can give."),
        (Code.PayloadTooLarge, "payload_too_large", 413, "The body is too large."),
        (Code.UnsupportedMediaType, "unsupported_media_type", 415, "The body must be application/json."),
        (Code.RequestInProgress, "request_in_progress", 409, "The same key is being worked on."),
        (Code.HoldAlreadyResolved, "hold_already_resolved", 409, "The hold was resolved before."),
        (Code.AccountStateConflict, "account_state_conflict", 409, "The account's state forbids it."),
        (Code.ApprovalRequired, "approval_required", 409, "A second person must approve."),
        (Code.PreconditionFailed, "precondition_failed", 412, "If-Match names another version."),
        (Code.PreconditionRequired, "precondition_required", 428, "If-Match is required."),
        (Code.IdempotencyKeyReused, "idempotency_key_reused", 422, "The key was used with another payload."),
        (Code.TransferAbandoned, "transfer_abandoned", 422, "The transfer was abandoned; nothing moved; send it with a new key."),
        (Code.SameAccount, "same_account", 422, "Payer and payee are one account."),
        (Code.DestinationNotFound, "destination_not_found", 422, "The payee's account does not exist."),
        (Code.CurrencyMismatch, "currency_mismatch", 422, "The currency is not that of both accounts."),
        (Code.AccountClosed, "account_closed", 422, "An account is closed."),
        (Code.AccountFrozen, "account_frozen", 422, "An account is frozen."),
        (Code.LimitExceeded, "limit_exceeded", 422, "A limit would be passed."),
        (Code.InsufficientFunds, "insufficient_funds", 422, "The available balance is too small."),
        (Code.BalanceOverflow, "balance_overflow", 422, "The balance would grow too large."),
        (Code.CaptureExceedsHold, "capture_exceeds_hold", 422, "The capture is larger than the hold."),
        (Code.ReversalExceedsOriginal, "reversal_exceeds_original", 422, "The reversal is larger than what is left."),
        (Code.JournalNotBalanced, "journal_not_balanced", 422, "The entries do not sum to zero."),
        (Code.BatchMemberFailed, "batch_member_failed", 422, "Another item of the batch was refused."),
        (Code.BalanceNotZero, "balance_not_zero", 422, "The balance is not zero."),
        (Code.RateLimited, "rate_limited", 429, "Too many requests."),
        (Code.InternalError, "internal_error", 500, "Something is broken on our side."),
        (Code.HomeUnavailable, "home_unavailable", 503, "A home database cannot be reached."),
        (Code.Overloaded, "overloaded", 503, "Too much work is queued."),
    ];

    private static readonly FrozenDictionary<string, Code> ByName = Table.ToFrozenDictionary(row => row.Name, row => row.Code);

    /// <summary>All codes, in the order of the checks.</summary>
    public static IEnumerable<Code> All => Table.Select(row => row.Code);

    /// <summary>The name on the wire, such as <c>insufficient_funds</c>.</summary>
    public static string NameOf(Code code) => Table[(int)code].Name;

    /// <summary>The HTTP status, such as 422.</summary>
    public static int StatusOf(Code code) => Table[(int)code].Status;

    /// <summary>One sentence for people.</summary>
    public static string TitleOf(Code code) => Table[(int)code].Title;

    /// <summary>True where sending the same request again, with the same key, can succeed.</summary>
    public static bool IsRetryable(Code code) => code == Code.RequestInProgress || StatusOf(code) is 429 or >= 500;

    /// <summary>The code of a name on the wire; false for a name that is none.</summary>
    public static bool TryParse(string name, out Code code) => ByName.TryGetValue(name, out code);

    /// <summary>The code of a name that storage wrote. Throws <see cref="FormatException"/> for a name that is none.</summary>
    public static Code Parse(string name) =>
        TryParse(name, out var code) ? code : throw new FormatException($"Expected a code of the bank, got '{name}'.");
}
