using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Banking;

/// <summary>What an account is for. It decides its rules and its rank in the lock order.</summary>
public enum AccountKind
{
    /// <summary>A person's account.</summary>
    Customer,
    /// <summary>A company's account: likely to be paid by many at once.</summary>
    Business,
    /// <summary>The bank's own account, the other side of money that enters or leaves. It may be negative and has no limits.</summary>
    Internal,
}

/// <summary>
/// An account number such as <c>A-CUS-004217735190-63</c>: home, kind, twelve digits, ISO 7064 mod 97-10 check digits.
/// One spelling only. It fixes the home database and the kind, so neither needs a look-up, and no part of it can be read
/// as a hexadecimal number or a GUID (some storage providers would fold two such keys into one).
/// </summary>
/// <remarks>
/// <see cref="CompareTo"/> is the global lock order: customer, then business, then internal accounts, then by the text.
/// The likely hot ones come last, where they are locked for the shortest time and decide the transaction.
/// </remarks>
[GenerateSerializer, Immutable, Alias("banking.AccountNumber")]
public readonly partial record struct AccountNumber : IComparable<AccountNumber>
{
    /// <summary>The longest number: a home of 8, kind, 12 digits and 2 check digits.</summary>
    public const int LengthMax = 34;

    private const long SerialMax = 999_999_999_999;

    private AccountNumber(string text) => Text = text;

    /// <summary>The number as written.</summary>
    [Id(0)] public string Text { get; }

    /// <summary>The name of the home database, such as <c>A</c>.</summary>
    public string Home => Text[..Text.IndexOf('-', StringComparison.Ordinal)];

    /// <summary>The kind.</summary>
    public AccountKind Kind => KindOf(Text.AsSpan(Text.IndexOf('-', StringComparison.Ordinal) + 1, 3));

    /// <summary>The number as logs show it: home and the last four characters.</summary>
    public string Masked => $"{Home}-…{Text[^4..]}";

    /// <summary>Makes the number of a home, a kind and a serial of 0 to 999,999,999,999.</summary>
    public static AccountNumber Create(string home, AccountKind kind, long serial)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(serial);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(serial, SerialMax);
        if (!IsHomeName(home))
        {
            throw new FormatException($"Expected a home name like A or EU2, got '{home}'.");
        }

        var body = string.Create(CultureInfo.InvariantCulture, $"{home}-{CodeOf(kind)}-{serial:D12}");
        return new AccountNumber(string.Create(CultureInfo.InvariantCulture, $"{body}-{98 - Mod97(body + "00"):D2}"));
    }

    /// <summary>Reads a number; false unless spelt exactly as it was given out.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out AccountNumber number)
    {
        number = default;
        if (text is null || text.Length > LengthMax || !Shape().IsMatch(text) || Mod97(text) != 1)
        {
            return false;
        }

        number = new AccountNumber(text);
        return true;
    }

    /// <summary>Reads a number. Throws <see cref="FormatException"/> for any other text.</summary>
    public static AccountNumber Parse(string text) =>
        TryParse(text, out var number) ? number : throw new FormatException($"Expected an account number, got '{text}'.");

    /// <summary>True for a home name: a capital letter and up to seven capital letters or digits.</summary>
    public static bool IsHomeName(string? home) => home is not null && HomeName().IsMatch(home);

    /// <summary>The global lock order.</summary>
    public int CompareTo(AccountNumber other)
    {
        var rank = Kind.CompareTo(other.Kind);
        return rank != 0 ? rank : string.CompareOrdinal(Text, other.Text);
    }

    /// <inheritdoc/>
    public override string ToString() => Text;

    // ISO 7064 mod 97-10 as IBAN uses it: letters count as 10 to 35, hyphens do not count.
    private static int Mod97(string text)
    {
        var remainder = 0;
        foreach (var character in text)
        {
            remainder = character switch
            {
                >= '0' and <= '9' => ((remainder * 10) + (character - '0')) % 97,
                >= 'A' and <= 'Z' => ((remainder * 100) + (character - 'A' + 10)) % 97,
                _ => remainder,
            };
        }

        return remainder;
    }

    private static string CodeOf(AccountKind kind) => kind switch
    {
        AccountKind.Customer => "CUS",
        AccountKind.Business => "BUS",
        AccountKind.Internal => "INT",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Expected a kind of account."),
    };

    private static AccountKind KindOf(ReadOnlySpan<char> code) => code switch
    {
        "CUS" => AccountKind.Customer,
        "BUS" => AccountKind.Business,
        "INT" => AccountKind.Internal,
        _ => throw new FormatException($"Expected CUS, BUS or INT, got '{code}'."),
    };

    [GeneratedRegex(@"\A[A-Z][A-Z0-9]{0,7}-(CUS|BUS|INT)-[0-9]{12}-[0-9]{2}\z", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();

    [GeneratedRegex(@"\A[A-Z][A-Z0-9]{0,7}\z", RegexOptions.CultureInvariant)]
    private static partial Regex HomeName();
}
