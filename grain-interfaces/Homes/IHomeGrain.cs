namespace Banking;

/// <summary>
/// One home database: what concerns it as a whole rather than one account. The key is the home's name, such as <c>A</c>.
/// Calls throw <see cref="HomeUnavailableException"/> while the home cannot be reached.
/// </summary>
[Alias("banking.IHomeGrain")]
public interface IHomeGrain : IGrainWithStringKey
{
    /// <summary>
    /// Opens an account with balance zero. The same (<see cref="AccountOpening.OpenedBy"/>, home, <see cref="AccountOpening.Key"/>)
    /// gets the same account for ever. Refusals: <see cref="Code.UnknownHome"/>, <see cref="Code.ValidationFailed"/>,
    /// <see cref="Code.IdempotencyKeyReused"/> for another payload, <see cref="Code.HomeUnavailable"/>,
    /// <see cref="Code.RequestInProgress"/> when the outcome is not known yet: send it again with the same key.
    /// </summary>
    [Alias("OpenAccount")]
    Task<Answer<OpenedAccount>> OpenAccount(AccountOpening opening);

    /// <summary>Whether the home is configured here and can be reached right now; a small call for readiness checks.</summary>
    [Alias("GetHealth")]
    Task<HomeHealth> GetHealth();
}

/// <summary>What is needed to open an account.</summary>
/// <param name="OpenedBy">Who asks: the subject of the token. It scopes the key.</param>
/// <param name="Key">The Idempotency-Key, 1 to 128 visible ASCII characters without quote and backslash.</param>
/// <param name="Holder">The owner, 1 to 64 visible ASCII characters.</param>
/// <param name="Currency">The account's one currency.</param>
/// <param name="Kind">The kind.</param>
/// <param name="OverdraftLimitMinor">How many minor units the balance may go below zero, not negative; must be zero for internal accounts.</param>
/// <param name="Labels">At most 20 pairs of 40 and 200 characters; null for none.</param>
[GenerateSerializer, Immutable, Alias("banking.AccountOpening")]
public sealed record AccountOpening(
    [property: Id(0)] string OpenedBy,
    [property: Id(1)] string Key,
    [property: Id(2)] string Holder,
    [property: Id(3)] Currency Currency,
    [property: Id(4)] AccountKind Kind,
    [property: Id(5)] long OverdraftLimitMinor = 0,
    [property: Id(6)] IReadOnlyDictionary<string, string>? Labels = null);

/// <summary>The account as it was when it was opened.</summary>
/// <param name="Account">The account, with balance zero.</param>
/// <param name="Replayed">True when an earlier request with the same key opened it.</param>
[GenerateSerializer, Immutable, Alias("banking.OpenedAccount")]
public sealed record OpenedAccount([property: Id(0)] Account Account, [property: Id(1)] bool Replayed);

/// <summary>A home's health as one silo sees it.</summary>
/// <param name="Configured">False when this bank has no home of that name.</param>
/// <param name="Available">True when the database answers and passed the start-up checks.</param>
/// <param name="Reason">Why it is not available; null when it is.</param>
[GenerateSerializer, Immutable, Alias("banking.HomeHealth")]
public sealed record HomeHealth([property: Id(0)] bool Configured, [property: Id(1)] bool Available, [property: Id(2)] string? Reason);

/// <summary>
/// A home database cannot be reached, is overloaded, or failed its checks. Whether a write that was under way is durable
/// is not known to the thrower; callers of the public grains see it only where nothing changed.
/// </summary>
[GenerateSerializer, Alias("banking.HomeUnavailableException")]
public sealed class HomeUnavailableException : Exception
{
    /// <summary>Says which home and why.</summary>
    public HomeUnavailableException(string message) : base(message)
    {
    }
}
