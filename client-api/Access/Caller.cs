using System.Security.Claims;

namespace Banking.ClientApi.Access;

/// <summary>The claims that are read, by the names they have in the token.</summary>
internal static class Claims
{
    public const string Subject = "sub";
    public const string Scope = "scope";
}

/// <summary>The scopes of a token.</summary>
internal static class Scopes
{
    public const string AccountsRead = "accounts:read";
    public const string TransfersWrite = "transfers:write";
    public const string LedgerRead = "ledger:read";
    public const string Operator = "operator";
}

/// <summary>Who asks, and what the token allows.</summary>
internal sealed class Caller
{
    private readonly HashSet<string> _scopes;

    private Caller(string subject, HashSet<string> scopes) => (Subject, _scopes) = (subject, scopes);

    public string Subject { get; }

    public bool IsOperator => _scopes.Contains(Scopes.Operator);

    /// <summary>True when the caller may look at accounts at all, own or others'.</summary>
    public bool MayRead => IsOperator || _scopes.Contains(Scopes.LedgerRead) || _scopes.Contains(Scopes.AccountsRead);

    /// <summary>True when the caller may look at every account.</summary>
    public bool MayReadAll => IsOperator || _scopes.Contains(Scopes.LedgerRead);

    /// <summary>True when the caller may send money from accounts of its own.</summary>
    public bool MayTransfer => IsOperator || _scopes.Contains(Scopes.TransfersWrite);

    public static Caller Of(HttpContext http) => new(
        http.User.FindFirstValue(Claims.Subject)!,
        http.User.FindAll(Claims.Scope).SelectMany(claim => claim.Value.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToHashSet(StringComparer.Ordinal));

    public static Http.Problem Missing(params string[] scopes) =>
        Http.Problem.Of(Code.Forbidden, $"Expected a token with the scope {string.Join(" or ", scopes)}.");
}
