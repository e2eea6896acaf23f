using System.Collections.Frozen;

namespace Banking;

/// <summary>An active ISO 4217 currency: three capital letters and the digits of its minor unit (JPY 0, EUR 2, KWD 3).</summary>
[GenerateSerializer, Immutable, Alias("banking.Currency")]
public readonly record struct Currency
{
    // ISO 4217 list one, active circulating currencies, by digits of the minor unit. Funds and test codes (XXX, XTS …) are left out.
    private const string Digits0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    private const string Digits2 =
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE " +
        "CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR " +
        "KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB " +
        "PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY " +
        "TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW";
    private const string Digits3 = "BHD IQD JOD KWD LYD OMR TND";

    private static readonly FrozenDictionary<string, int> DigitsByCode =
        Parse(Digits0, 0).Concat(Parse(Digits2, 2)).Concat(Parse(Digits3, 3)).ToFrozenDictionary();

    private Currency(string code) => Code = code;

    /// <summary>The three letters, such as <c>EUR</c>.</summary>
    [Id(0)] public string Code { get; }

    /// <summary>Digits behind the decimal point: 0, 2 or 3.</summary>
    public int Digits => DigitsByCode[Code];

    /// <summary>The currency of a code; false unless it is spelt exactly like an active one.</summary>
    public static bool TryParse(string? code, out Currency currency)
    {
        var known = code is not null && DigitsByCode.ContainsKey(code);
        currency = known ? new Currency(code!) : default;
        return known;
    }

    /// <summary>The currency of a code. Throws <see cref="FormatException"/> for any other text.</summary>
    public static Currency Parse(string code) =>
        TryParse(code, out var currency) ? currency : throw new FormatException($"Expected an active ISO 4217 code, got '{code}'.");

    /// <inheritdoc/>
    public override string ToString() => Code;

    private static IEnumerable<KeyValuePair<string, int>> Parse(string codes, int digits) =>
        codes.Split(' ').Select(code => KeyValuePair.Create(code, digits));
}
