using Banking.ClientApi.Http;

namespace Banking.ClientApi.Accounts;

internal sealed record OpeningBody(
    string Home,
    string Holder,
    string Currency,
    string Kind,
    AmountText? OverdraftLimit = null,
    Dictionary<string, string>? Labels = null);

internal sealed record BalanceParts(string Posted, string Held, string? Available);

internal sealed record FreezeBody(string Direction, string Reason, string Since);

internal sealed record LimitsBody(string? PerTransfer, string? PerDay);

internal sealed record AccountBody(
    string Id,
    string Home,
    string Holder,
    string Currency,
    string Kind,
    string Status,
    FreezeBody? Freeze,
    BalanceParts Balance,
    string? OverdraftLimit,
    LimitsBody? Limits,
    long Version,
    string OpenedAt,
    IReadOnlyDictionary<string, string> Labels)
{
    public static AccountBody Of(Account account) => new(
        account.Number.Text,
        account.Number.Home,
        account.Holder,
        account.Currency.Code,
        Kinds.NameOf(account.Number.Kind),
        account.Status == AccountStatus.Open ? "open" : "closed",
        Freeze: null,
        new BalanceParts(account.Posted.ToString(), account.Held.ToString(), account.Available?.ToString()),
        account.Number.Kind == AccountKind.Internal ? null : account.OverdraftLimit.ToString(),
        Limits: null,
        account.Version,
        Wire.Time(account.OpenedAt),
        account.Labels);
}

internal sealed record BalanceBody(string Posted, string Held, string? Available, string Currency, long Version, string At)
{
    public static BalanceBody Of(Account account, DateTime at) => new(
        account.Posted.ToString(),
        account.Held.ToString(),
        account.Available?.ToString(),
        account.Currency.Code,
        account.Version,
        Wire.Time(at));
}

internal sealed record PostingBody(
    long Version,
    string Kind,
    string TransferId,
    string Amount,
    string BalanceAfter,
    string? Counterparty,
    string? Reference,
    string PostedAt,
    string Hash)
{
    public static PostingBody Of(Posting posting) => new(
        posting.Version,
        posting.Kind,
        posting.TransferId,
        posting.Amount.ToString(),
        posting.BalanceAfter.ToString(),
        posting.Counterparty?.Text,
        posting.Reference,
        Wire.Time(posting.PostedAt),
        posting.Hash);
}

/// <summary>The kinds as they are written on the wire.</summary>
internal static class Kinds
{
    public static string NameOf(AccountKind kind) => kind switch
    {
        AccountKind.Customer => "customer",
        AccountKind.Business => "business",
        AccountKind.Internal => "internal",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Expected a kind of account."),
    };

    public static AccountKind? Parse(string name) => name switch
    {
        "customer" => AccountKind.Customer,
        "business" => AccountKind.Business,
        "internal" => AccountKind.Internal,
        _ => null,
    };
}
