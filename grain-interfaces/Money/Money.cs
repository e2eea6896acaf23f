using System.Globalization;
using System.Text.RegularExpressions;

namespace Banking;

/// <summary>
/// An amount of money: a whole number of minor units (cents) of one currency. Never a float; arithmetic that does not
/// fit 64 bits throws <see cref="OverflowException"/>, mixing currencies throws <see cref="InvalidOperationException"/>.
/// </summary>
/// <param name="MinorUnits">Signed count of the currency's minor unit.</param>
/// <param name="Currency">The currency.</param>
[GenerateSerializer, Immutable, Alias("banking.Money")]
public readonly partial record struct Money([property: Id(0)] long MinorUnits, [property: Id(1)] Currency Currency)
{
    /// <summary>Adds two amounts of one currency.</summary>
    public static Money operator +(Money left, Money right) => left with { MinorUnits = checked(left.MinorUnits + left.Same(right)) };

    /// <summary>Subtracts an amount of the same currency.</summary>
    public static Money operator -(Money left, Money right) => left with { MinorUnits = checked(left.MinorUnits - left.Same(right)) };

    /// <summary>Turns the sign around.</summary>
    public static Money operator -(Money amount) => amount with { MinorUnits = checked(-amount.MinorUnits) };

    /// <summary>
    /// Reads a bare decimal string such as <c>12.34</c> in a currency. Takes at most the currency's digits, no sign, no
    /// exponent, no spaces, no leading zeros, and only what fits <see cref="long"/> minor units; zero is taken.
    /// </summary>
    public static bool TryParse(string? text, Currency currency, out Money money)
    {
        money = default;
        if (text is null || !Decimal().IsMatch(text))
        {
            return false;
        }

        var point = text.IndexOf('.', StringComparison.Ordinal);
        var fraction = point < 0 ? "" : text[(point + 1)..];
        var whole = point < 0 ? text : text[..point];
        if (fraction.Length > currency.Digits ||
            !long.TryParse(whole + fraction.PadRight(currency.Digits, '0'), NumberStyles.None, CultureInfo.InvariantCulture, out var minorUnits))
        {
            return false;
        }

        money = new Money(minorUnits, currency);
        return true;
    }

    /// <summary>The bare decimal string with exactly the currency's digits, such as <c>-0.05</c>.</summary>
    public override string ToString()
    {
        var digits = Currency.Digits;
        var text = Int128.Abs(MinorUnits).ToString(CultureInfo.InvariantCulture).PadLeft(digits + 1, '0');
        var point = text.Length - digits;
        var unsigned = digits == 0 ? text : $"{text[..point]}.{text[point..]}";
        return MinorUnits < 0 ? "-" + unsigned : unsigned;
    }

    private long Same(Money other) => other.Currency == Currency
        ? other.MinorUnits
        : throw new InvalidOperationException($"Expected an amount in {Currency}, got one in {other.Currency}.");

    // \z, not $: a trailing line feed must not pass. [0-9], not \d: digits of other scripts must not pass.
    [GeneratedRegex(@"\A(0|[1-9][0-9]{0,18})(\.[0-9]{1,4})?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Decimal();
}
