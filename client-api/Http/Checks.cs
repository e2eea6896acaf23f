namespace Banking.ClientApi.Http;

/// <summary>
/// Collects what is wrong with the fields of a request. The code of the answer is the first in the order of
/// <see cref="Code"/>, whatever the order of the fields; all fields that are wrong are told.
/// </summary>
internal sealed class Checks
{
    private readonly List<(Code Code, string Field, string Sentence)> _wrong = [];

    public void Add(Code code, string field, string sentence) => _wrong.Add((code, field, sentence));

    /// <summary>A rule of <see cref="Texts"/>: null when it is kept.</summary>
    public void Text(string field, string? sentence)
    {
        if (sentence is not null)
        {
            Add(Code.ValidationFailed, field, sentence);
        }
    }

    public AccountNumber Account(string field, string text)
    {
        if (!AccountNumber.TryParse(text, out var number))
        {
            Add(Code.InvalidAccountNumber, field, "Expected an account number as it was given out, such as A-CUS-004217735190-63; the check digits or the spelling are wrong.");
        }

        return number;
    }

    public Currency? Currency(string field, string code)
    {
        if (Banking.Currency.TryParse(code, out var currency))
        {
            return currency;
        }

        Add(Code.InvalidCurrency, field, "Expected an active ISO 4217 code in capital letters, such as EUR.");
        return null;
    }

    /// <summary>An amount of zero or more in a currency; where the currency is wrong, that is told and the amount is not looked at.</summary>
    public Money Amount(string field, AmountText amount, Currency? currency, bool zeroAllowed)
    {
        if (amount.Text is null)
        {
            Add(Code.InvalidAmount, field, "Expected a decimal number as a JSON string, such as \"12.34\".");
            return default;
        }

        if (currency is not { } known)
        {
            return default;
        }

        if (!Money.TryParse(amount.Text, known, out var money) || (money.MinorUnits == 0 && !zeroAllowed))
        {
            Add(Code.InvalidAmount, field, $"Expected {(zeroAllowed ? "an amount" : "a positive amount")} with at most {known.Digits} decimals for {known}, without sign, spaces or leading zeros.");
        }

        return money;
    }

    /// <summary>The answer; null when nothing is wrong.</summary>
    public Problem? Problem()
    {
        if (_wrong.Count == 0)
        {
            return null;
        }

        var first = _wrong.MinBy(wrong => wrong.Code);
        var errors = _wrong.GroupBy(wrong => wrong.Field).ToDictionary(field => field.Key, field => field.Select(wrong => wrong.Sentence).ToArray());
        return new Problem(new Refusal(first.Code, $"{first.Field}: {first.Sentence}"), errors);
    }
}
