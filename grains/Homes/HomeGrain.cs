using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Banking.Accounts;
using Banking.Transfers;
using Orleans.Concurrency;
using Orleans.Transactions;

namespace Banking.Homes;

/// <summary>
/// A home as a whole. Opening: the account table itself is the record of opening keys (unique by who and key); the number is
/// derived from them, so that requests with one key meet at one account.
/// </summary>
[GrainType("home"), StatelessWorker]
internal sealed class HomeGrain(HomeRegistry homes) : Grain, IHomeGrain
{
    /// <summary>Numbers tried for one opening: with 10^12 serials a collision is rare, eight in a row do not happen.</summary>
    private const int SerialsMax = 8;

    private const long Serials = 1_000_000_000_000;

    private string Name => this.GetPrimaryKeyString();

    public Task<HomeHealth> GetHealth() => Task.FromResult(
        homes.TryGet(Name, out var home) ? new HomeHealth(true, home.IsAvailable, home.Reason) : new HomeHealth(false, false, $"There is no home {Name}."));

    public async Task<Answer<OpenedAccount>> OpenAccount(AccountOpening opening)
    {
        if (!homes.TryGet(Name, out var home))
        {
            return new Refusal(Code.UnknownHome, $"Expected one of {string.Join(", ", homes.All.Select(known => known.Name))}, got '{Name}'.");
        }

        if (Validate(opening) is { } invalid)
        {
            return invalid;
        }

        if (!home.IsAvailable)
        {
            return new Refusal(Code.HomeUnavailable, $"Home {Name} cannot be reached. Nothing changed; send it again.");
        }

        var payload = new OpeningPayload(
            opening.Holder, opening.Currency.Code, AccountTable.NameOf(opening.Kind), opening.OverdraftLimitMinor, Sorted(opening.Labels));
        var canonical = JsonSerializer.Serialize(payload, AccountJson.Default.OpeningPayload);
        try
        {
            if (await LedgerQueries.FindOpeningAsync(home, opening.OpenedBy, opening.Key) is { } opened)
            {
                var facts = await GrainFactory.GetGrain<IAccountLegs>(opened).Read();
                return Answer(facts, canonical, replayed: true);
            }

            for (var attempt = 0; attempt < SerialsMax; attempt++)
            {
                var number = AccountNumber.Create(Name, opening.Kind, SerialOf(opening, attempt));
                var (facts, opensNow) = await GrainFactory.GetGrain<IAccountLegs>(number.Text).Open(opening, canonical);
                if (facts.OpenedBy == opening.OpenedBy && facts.OpeningKey == opening.Key)
                {
                    return Answer(facts, canonical, replayed: !opensNow);
                }
            }

            throw new InvalidOperationException($"Expected a free account number in {SerialsMax} attempts in home {Name}.");
        }
        catch (Exception exception) when (exception is OrleansTransactionException or HomeUnavailableException or TimeoutException)
        {
            // The same key finds out: either its account is there, or it opens one.
            return new Refusal(Code.RequestInProgress, "The outcome is not known yet. Send it again with the same key.");
        }
    }

    private static Answer<OpenedAccount> Answer(AccountFacts facts, string canonical, bool replayed)
    {
        var account = facts.Account!;
        if (facts.Opening != canonical)
        {
            return new Refusal(Code.IdempotencyKeyReused, $"The key was used before with another payload; it opened {facts.Number}.") { Account = facts.Number.Text };
        }

        // The account as it was when it was opened, so that a replay has the same body.
        var first = JsonSerializer.Deserialize(facts.Opening, AccountJson.Default.OpeningPayload)!;
        var zero = new Money(0, account.Currency);
        return new OpenedAccount(
            account with
            {
                Status = AccountStatus.Open,
                Posted = zero,
                Held = zero,
                Version = 0,
                SettingsVersion = 1,
                OverdraftLimit = new Money(first.OverdraftLimitMinor, account.Currency),
                Labels = first.Labels is { } labels ? labels : Pairs.Read(null),
            },
            replayed);
    }

    private static Refusal? Validate(AccountOpening opening)
    {
        if (Texts.CheckKey(opening.Key) is { } wrongKey)
        {
            return new Refusal(Code.IdempotencyKeyInvalid, wrongKey);
        }

        if ((Texts.CheckHolder(opening.Holder) ?? Texts.CheckPairs("labels", opening.Labels)) is { } wrongText)
        {
            return new Refusal(Code.ValidationFailed, wrongText);
        }

        if (opening.OpenedBy is not { Length: > 0 and <= 128 } || !Enum.IsDefined(opening.Kind) || opening.Currency == default)
        {
            return new Refusal(Code.ValidationFailed, "Expected OpenedBy of 1 to 128 characters, a kind and a currency.");
        }

        if (opening.OverdraftLimitMinor is < 0 or > TransferChecks.OverdraftLimitMax)
        {
            return new Refusal(Code.InvalidAmount, $"Expected an overdraft limit of 0 to {TransferChecks.OverdraftLimitMax} minor units, got {opening.OverdraftLimitMinor}.");
        }

        return opening is { Kind: AccountKind.Internal, OverdraftLimitMinor: not 0 }
            ? new Refusal(Code.ValidationFailed, "Expected no overdraft limit: an internal account may be negative without one.")
            : null;
    }

    private static SortedDictionary<string, string>? Sorted(IReadOnlyDictionary<string, string>? labels) =>
        labels is null or { Count: 0 } ? null : new SortedDictionary<string, string>(labels.ToDictionary(), StringComparer.Ordinal);

    private long SerialOf(AccountOpening opening, int attempt)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{Name}\n{opening.Key}\n{attempt}\n{opening.OpenedBy}");
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(text));
        return (long)(System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(hash) % Serials);
    }
}

/// <summary>What an opening key is bound to; kept with the account as canonical JSON.</summary>
internal sealed record OpeningPayload(string Holder, string Currency, string Kind, long OverdraftLimitMinor, SortedDictionary<string, string>? Labels);
