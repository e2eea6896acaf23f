using CsCheck;

namespace Banking.Tests.Amounts;

public sealed class MoneyTests
{
    [Theory]
    [InlineData("EUR", "12.34", 1234), InlineData("EUR", "12", 1200), InlineData("EUR", "0.5", 50), InlineData("JPY", "7", 7), InlineData("KWD", "1.234", 1234)]
    [InlineData("EUR", "92233720368547758.07", long.MaxValue)]
    public void DecimalTextBecomesMinorUnits(string currency, string text, long minor)
    {
        Assert.True(Money.TryParse(text, Currency.Parse(currency), out var money));
        Assert.Equal(minor, money.MinorUnits);
    }

    [Theory]
    [InlineData(""), InlineData("-1"), InlineData("-0"), InlineData("+1"), InlineData("1e2"), InlineData(" 1"), InlineData("1 "), InlineData("1\n"), InlineData("01"), InlineData(".5"), InlineData("1.")]
    [InlineData("1,00"), InlineData("1_000"), InlineData("0x10"), InlineData("NaN"), InlineData("1.001"), InlineData("92233720368547758.08"), InlineData("99999999999999999999"), InlineData("１"), InlineData("١"), InlineData(null)]
    public void AnythingElseIsRefused(string? text) => Assert.False(Money.TryParse(text, Currency.Parse("EUR"), out _));

    [Fact]
    public void WhatIsPrintedCanBeRead() => Gen.Select(Gen.Long[0, long.MaxValue], Gen.Int[0, 2].Select(index => ((string[])["EUR", "JPY", "KWD"])[index])).Sample((minor, code) =>
    {
        var money = new Money(minor, Currency.Parse(code));
        return Money.TryParse(money.ToString(), money.Currency, out var read) && read == money;
    });

    [Fact]
    public void ArithmeticIsCheckedAndNeverMixesCurrencies()
    {
        var (most, cent) = (new Money(long.MaxValue, Currency.Parse("EUR")), new Money(1, Currency.Parse("EUR")));
        Assert.Throws<OverflowException>(() => most + cent);
        Assert.Throws<OverflowException>(() => -most - cent - cent);
        Assert.Throws<InvalidOperationException>(() => cent + new Money(1, Currency.Parse("USD")));
        Assert.Equal("-0.01", (-cent).ToString());
    }
}
