using CsCheck;

namespace Banking.Tests.Accounts;

public sealed class AccountNumberTests
{
    private static readonly Gen<AccountNumber> Any = Gen.Select(
        Gen.Int[0, 3].Select(index => ((string[])["A", "B", "EU2", "HOME1234"])[index]), Gen.Enum<AccountKind>(), Gen.Long[0, 999_999_999_999], AccountNumber.Create);

    [Fact]
    public void ANumberCanBeReadAndNamesItsHomeAndKind() => Gen.Select(Gen.Int[0, 1].Select(index => ((string[])["A", "EU2"])[index]), Gen.Enum<AccountKind>(), Gen.Long[0, 999_999_999_999]).Sample((home, kind, serial) =>
    {
        var number = AccountNumber.Create(home, kind, serial);
        return AccountNumber.TryParse(number.Text, out var read) && read == number && read.Home == home && read.Kind == kind && number.Text.Length <= AccountNumber.LengthMax;
    });

    [Fact]
    public void ASingleWrongDigitIsCaught() => Gen.Select(Any, Gen.Int[0, 14], Gen.Int[1, 9]).Sample((number, position, shift) =>
    {
        var text = number.Text.ToCharArray();
        var index = text.Length - 1 - position;
        if (!char.IsDigit(text[index]))
        {
            return true;
        }

        text[index] = (char)('0' + ((text[index] - '0' + shift) % 10));
        return !AccountNumber.TryParse(new string(text), out _);
    });

    [Fact]
    public void NeighboursThatChangedPlacesAreCaught() => Gen.Select(Any, Gen.Int[0, 10]).Sample((number, position) =>
    {
        var text = number.Text.ToCharArray();
        var index = text.Length - 15 + position;
        (text[index], text[index + 1]) = (text[index + 1], text[index]);
        return text[index] == text[index + 1] || !AccountNumber.TryParse(new string(text), out _);
    });

    [Fact]
    public void NoNumberReadsAsAGuidOrAHexadecimalNumber() => Any.Sample(number =>
        !Guid.TryParse(number.Text, out _) && !long.TryParse(number.Text, System.Globalization.NumberStyles.HexNumber, null, out _));

    [Theory]
    [InlineData("a-CUS-000000000001-00"), InlineData("A-CUS-000000000001-1"), InlineData(" A-CUS-000000000001-30"), InlineData("A-XXX-000000000001-30"), InlineData("A-CUS-00000000000１-30"), InlineData("")]
    public void AnotherSpellingIsNoNumber(string text) => Assert.False(AccountNumber.TryParse(text, out _));

    [Fact]
    public void TheLockOrderIsCustomerBusinessInternalThenTheText()
    {
        var customer = AccountNumber.Create("Z", AccountKind.Customer, 9);
        var business = AccountNumber.Create("B", AccountKind.Business, 1);
        var bank = AccountNumber.Create("A", AccountKind.Internal, 1);
        AccountNumber[] sorted = [AccountNumber.Create("A", AccountKind.Customer, 1), customer, business, bank];
        Assert.Equal(sorted, sorted.Reverse().Order());
    }

    [Fact]
    public void ATransferIdNamesItsSource() => Gen.Select(Any, Gen.String).Sample((source, key) =>
        TransferId.TryParse(TransferId.Of(source, key).Text, out var id) && id.Source == source && id == TransferId.Of(source, key));
}
