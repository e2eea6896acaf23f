using Banking.Accounts;

namespace Banking.Transfers;

/// <summary>
/// The money checks: one flat list in the order of the codes, the same for a leg that sees one account and for a settlement
/// or dry run that sees both. Pure. A side that is null is not looked at.
/// </summary>
internal static class TransferChecks
{
    /// <summary>The first check that fails; null when none does.</summary>
    public static Refusal? Check(AccountNumber source, TransferOrder order, AccountFacts? payer, AccountFacts? payee)
    {
        var (from, to) = (payer?.Account, payee?.Account);
        var amount = order.Amount;

        if (source == order.To)
        {
            return new Refusal(Code.SameAccount, $"Expected two accounts, {source} is payer and payee.");
        }

        if (payee is not null && to is null)
        {
            return new Refusal(Code.DestinationNotFound, $"There is no account {order.To}.") { Account = order.To.Text };
        }

        if (from is not null && from.Currency != amount.Currency)
        {
            return new Refusal(Code.CurrencyMismatch, $"Expected an amount in {from.Currency}, the currency of {source}, got {amount.Currency}.") { Account = source.Text };
        }

        if (to is not null && to.Currency != amount.Currency)
        {
            return new Refusal(Code.CurrencyMismatch, $"Expected an amount in {to.Currency}, the currency of {order.To}, got {amount.Currency}.") { Account = order.To.Text };
        }

        if (from is { Status: AccountStatus.Closed })
        {
            return new Refusal(Code.AccountClosed, $"Account {source} is closed.") { Account = source.Text };
        }

        if (to is { Status: AccountStatus.Closed })
        {
            return new Refusal(Code.AccountClosed, $"Account {order.To} is closed.") { Account = order.To.Text };
        }

        if (from is { Available: { } available } && (Int128)available.MinorUnits < amount.MinorUnits)
        {
            return new Refusal(Code.InsufficientFunds, $"Expected {amount} {amount.Currency} to be available on {source}, it is less.") { Account = source.Text };
        }

        if (from is not null && (Int128)from.Posted.MinorUnits - amount.MinorUnits < long.MinValue)
        {
            return new Refusal(Code.BalanceOverflow, $"The balance of {source} would fall below what 64 bits of minor units hold.") { Account = source.Text };
        }

        if (to is not null && (Int128)to.Posted.MinorUnits + amount.MinorUnits > BalanceMax)
        {
            return new Refusal(Code.BalanceOverflow, $"The balance of {order.To} would grow above what 64 bits of minor units hold.") { Account = order.To.Text };
        }

        return null;
    }

    /// <summary>Half of the range is left free, so that available = posted - held + overdraft limit always fits.</summary>
    public const long BalanceMax = long.MaxValue / 2;

    /// <summary>The largest overdraft limit, for the same reason.</summary>
    public const long OverdraftLimitMax = long.MaxValue / 4;

    /// <summary>What is wrong with an order whatever the accounts are; null when nothing is. Nothing is stored for these.</summary>
    public static Refusal? Validate(TransferOrder order)
    {
        if (Texts.CheckKey(order.Key) is { } wrongKey)
        {
            return new Refusal(Code.IdempotencyKeyInvalid, wrongKey);
        }

        if (order.Amount.MinorUnits <= 0)
        {
            return new Refusal(Code.InvalidAmount, $"Expected a positive amount, got {order.Amount}.");
        }

        if (order.RequestedBy is not { Length: > 0 and <= 128 })
        {
            return new Refusal(Code.ValidationFailed, "Expected RequestedBy to have 1 to 128 characters.");
        }

        return (Texts.CheckReference(order.Reference) ?? Texts.CheckPairs("metadata", order.Metadata)) is { } wrongText
            ? new Refusal(Code.ValidationFailed, wrongText)
            : null;
    }
}
