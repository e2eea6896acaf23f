using Banking.Accounts;
using Banking.Transfers;

namespace Banking.Tests.Transfers;

/// <summary>The money checks as a table: each by itself, and each pair of neighbours, where the one named first wins.</summary>
public sealed class TransferChecksTests
{
    private static readonly AccountNumber Source = AccountNumber.Create("A", AccountKind.Customer, 1), Destination = AccountNumber.Create("B", AccountKind.Customer, 2);

    private static readonly (Code? Expected, AccountFacts? Payer, AccountFacts? Payee, long Minor, string Currency, bool ToItself)[] Cases =
    [
        (null, Payer(100), Payee(), 100, "EUR", false),
        (null, Payer(0, overdraft: 100), Payee(), 100, "EUR", false),
        (null, Payer(0, kind: AccountKind.Internal), Payee(), 100, "EUR", false),
        (null, null, Payee(), 100, "EUR", false),
        (null, Payer(100), null, 100, "EUR", false),
        (Code.SameAccount, Payer(0), Absent(), 100, "USD", true),
        (Code.DestinationNotFound, Payer(0, currency: "USD", status: AccountStatus.Closed), Absent(), 100, "EUR", false),
        (Code.CurrencyMismatch, Payer(0, currency: "USD", status: AccountStatus.Closed), Payee(status: AccountStatus.Closed), 100, "EUR", false),
        (Code.CurrencyMismatch, Payer(0), Payee(currency: "USD", status: AccountStatus.Closed), 100, "EUR", false),
        (Code.AccountClosed, Payer(0, status: AccountStatus.Closed), Payee(), 100, "EUR", false),
        (Code.AccountClosed, Payer(0), Payee(status: AccountStatus.Closed), 100, "EUR", false),
        (Code.InsufficientFunds, Payer(99), Payee(TransferChecks.BalanceMax), 100, "EUR", false),
        (Code.InsufficientFunds, Payer(-100, overdraft: 100), Payee(), 1, "EUR", false),
        (Code.BalanceOverflow, Payer(long.MinValue, kind: AccountKind.Internal), Payee(), 1, "EUR", false),
        (Code.BalanceOverflow, Payer(100), Payee(TransferChecks.BalanceMax), 1, "EUR", false),
    ];

    [Fact]
    public void TheFirstCheckThatFailsIsTheAnswer()
    {
        foreach (var (expected, payer, payee, minor, currency, toItself) in Cases)
        {
            var order = new TransferOrder("key", toItself ? Source : Destination, new Money(minor, Currency.Parse(currency)), "tests");
            Assert.Equal(expected, TransferChecks.Check(Source, order, payer, payee)?.Code);
        }
    }

    [Theory]
    [InlineData(0, "key", null, Code.InvalidAmount)]
    [InlineData(-1, "key", null, Code.InvalidAmount)]
    [InlineData(1, "", null, Code.IdempotencyKeyInvalid)]
    [InlineData(1, "a\"b", null, Code.IdempotencyKeyInvalid)]
    [InlineData(1, "key", "line\nbreak", Code.ValidationFailed)]
    public void AnOrderThatIsWrongInItselfIsNotTaken(long minor, string key, string? reference, Code expected) =>
        Assert.Equal(expected, TransferChecks.Validate(new TransferOrder(key, Destination, new Money(minor, Currency.Parse("EUR")), "tests", reference))?.Code);

    private static AccountFacts Payer(long posted, long overdraft = 0, string currency = "EUR", AccountStatus status = AccountStatus.Open, AccountKind kind = AccountKind.Customer) =>
        Facts(kind == AccountKind.Internal ? AccountNumber.Create("A", kind, 1) : Source, posted, overdraft, currency, status);

    private static AccountFacts Payee(long posted = 0, string currency = "EUR", AccountStatus status = AccountStatus.Open) =>
        Facts(Destination, posted, 0, currency, status);

    private static AccountFacts Absent() => new(Destination, null, 0);

    private static AccountFacts Facts(AccountNumber number, long posted, long overdraft, string code, AccountStatus status)
    {
        var currency = Currency.Parse(code);
        return new AccountFacts(
            number,
            new Account(number, "holder", currency, status, new Money(posted, currency), new Money(0, currency), new Money(overdraft, currency), 1, 1, default, new Dictionary<string, string>()),
            1);
    }
}
