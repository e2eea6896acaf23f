using Banking.Homes;
using Banking.Transfers;
using Orleans.Concurrency;
using Orleans.Transactions;
using Orleans.Transactions.Abstractions;

namespace Banking.Accounts;

/// <summary>
/// One account. Every change is one PerformUpdate that checks and changes; nothing outside of it is mutable but what
/// <see cref="DurableAccount"/> holds and the count of waiting legs. [Reentrant] because Orleans' own transaction messages
/// and the legs of other transfers must come in while a call waits; the account's lock keeps the order.
/// </summary>
[GrainType(GrainTypeName), Reentrant]
internal sealed class AccountGrain(
    [TransactionalState(AccountGrain.StateName, StateStorageFactory.StorageName)] ITransactionalState<AccountState> state,
    DurableAccount durable,
    HomeRegistry homes,
    TimeProvider time) : Grain, IAccountGrain, IAccountLegs
{
    /// <summary>Both names are in stored rows of transactions in flight: never change them.</summary>
    public const string GrainTypeName = "account", StateName = "account";

    private AccountNumber number;
    private int waitingLegs;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        number = AccountNumber.Parse(this.GetPrimaryKeyString());
        return base.OnActivateAsync(cancellationToken);
    }

    public async Task<Account?> GetAccount() => (await ReadAsync()).Account;

    public async Task<Page<Posting>?> GetPostings(PageRequest page)
    {
        if ((await ReadAsync()).Account is not { } account)
        {
            return null;
        }

        var rows = await LedgerQueries.PostingsAsync(homes.OfKey(number.Text), number.Text, account.Version, page);
        var items = rows.Take(page.Limit).Select(row => AccountTable.ReadPosting(row, account.Currency)).ToList();
        return new Page<Posting>(items, rows.Count > page.Limit ? items[^1].Version : null);
    }

    public async Task<LegReceipt[]> PostAll(TransferLeg[] ascendingLegs)
    {
        var receipts = new LegReceipt[ascendingLegs.Length];
        for (var index = 0; index < ascendingLegs.Length - 1; index++)
        {
            receipts[index] = await GrainFactory.GetGrain<IAccountLegs>(ascendingLegs[index].Account.Text).PostLeg(ascendingLegs[index]);
        }

        receipts[^1] = await PostLeg(ascendingLegs[^1]);
        return receipts;
    }

    public async Task<LegReceipt> PostLeg(TransferLeg leg)
    {
        if (!durable.Admits(waitingLegs))
        {
            throw Overloaded();
        }

        // Here, not in the update: a leg that waits for the lock is posted by the lock's worker, in whose context there is no transaction or another one.
        var transactionId = TransactionContext.GetRequiredTransactionInfo().TransactionId;
        waitingLegs++;
        try
        {
            return await state.PerformUpdate(account => Post(account, leg, transactionId));
        }
        finally
        {
            waitingLegs--;
        }
    }

    public async Task<TransferLookUp> LookUp(string transferId)
    {
        // The ticket comes first: what is durable by now is found by the look-up, what comes later is named by the debit (5.1).
        var ticket = durable.IssueTicket();
        var row = await homes.OfKey(number.Text).Reader.FindTransferAsync(transferId);
        var record = row is null ? null : AccountTable.ReadTransfer(row);
        return new TransferLookUp(durable.IsOpened, ticket, record, record is null || record.Number <= durable.EntryNumber);
    }

    public Task<SettlementResult> Settle(Settlement settlement)
    {
        var transactionId = TransactionContext.GetRequiredTransactionInfo().TransactionId;
        return state.PerformUpdate(account => Settle(account, settlement, transactionId));
    }

    public Task<AccountFacts> Read() => state.PerformRead(Facts);

    public Task<OpenResult> Open(AccountOpening opening, string canonicalOpening) => state.PerformUpdate(account =>
    {
        var opensNow = account.Settings is null;
        account.Settings ??= new AccountSettings(
            opening.Holder, opening.Currency.Code, AccountStatus.Open, opening.OverdraftLimitMinor, Pairs.Format(opening.Labels) ?? "{}",
            1, Now(), opening.OpenedBy, opening.Key, canonicalOpening);
        return new OpenResult(Facts(account), opensNow);
    });

    private Task<AccountFacts> ReadAsync()
    {
        homes.OfKey(number.Text).ThrowIfUnavailable();
        return this.AsReference<IAccountLegs>().ReadAsync(number, time);
    }

    private LegReceipt Post(AccountState account, TransferLeg leg, Guid transactionId)
    {
        account.DropDurable(durable.PostingVersion, durable.EntryNumber);
        durable.Begins(account.PostingVersion);
        if (!durable.Admits(account.PostingVersion - durable.PostingVersion))
        {
            throw Overloaded();
        }

        var facts = Facts(account);
        var isDebit = leg.AmountMinor < 0;
        if (isDebit && !facts.IsOpened)
        {
            throw new LegFailedException(LegFailure.NoSource, $"There is no account {number.Masked}.");
        }

        if (leg.Ticket is { } ticket && durable.Knows(account, ticket, leg.TransferId) is not false)
        {
            throw new LegFailedException(LegFailure.LookUpAgain, $"The outcome of {leg.TransferId} is known, or its ticket is too old.");
        }

        var source = isDebit ? number : leg.Counterparty;
        if (TransferChecks.Check(source, leg.Order, isDebit ? facts : null, isDebit ? null : facts) is { } refusal)
        {
            throw new LegFailedException(LegFailure.Refused, refusal.Detail);
        }

        var posting = Ledger.Post(
            account, number.Text, Ledger.TransferKind, leg.TransferId, leg.AmountMinor, leg.Counterparty.Text, leg.Order.Reference, Now(), transactionId);
        if (isDebit)
        {
            Ledger.Append(account, Entry(leg.TransferId, leg.Order, EntryStatus.Posted, transactionId) with
            {
                DecidedAt = posting.PostedAt,
                BalanceAfterMinor = posting.BalanceAfterMinor,
            });
        }

        return new LegReceipt(number, posting.BalanceAfterMinor, posting.PostedAt, account.EntryNumber);
    }

    private LegFailedException Overloaded() =>
        new(LegFailure.Overloaded, $"Too many transfers are under way on {number.Masked}: they would all time out together.");

    private SettlementResult Settle(AccountState account, Settlement settlement, Guid transactionId)
    {
        account.DropDurable(durable.PostingVersion, durable.EntryNumber);
        var facts = Facts(account);
        if (!facts.IsOpened)
        {
            throw new LegFailedException(LegFailure.NoSource, $"There is no account {number.Masked}.");
        }

        switch (durable.Knows(account, settlement.Ticket, settlement.TransferId))
        {
            case null:
                return SettlementResult.TakeNewTicket;
            case true:
                return SettlementResult.Stored;
        }

        var order = settlement.Order;
        var refusal = settlement.Payee is null
            ? new Refusal(Code.TransferAbandoned, "The outcome was unknown after a failure; nothing moved and nothing will under this key.")
            : TransferChecks.Check(number, order, facts, settlement.Payee);
        if (refusal is null)
        {
            return SettlementResult.RunAgain;
        }

        var status = settlement.Payee is null ? EntryStatus.Abandoned : EntryStatus.Refused;
        Ledger.Append(account, Entry(settlement.TransferId, order, status, transactionId) with
        {
            Code = Codes.NameOf(refusal.Code),
            Detail = refusal.Detail,
            RefusedAccount = refusal.Account,
        });
        return SettlementResult.Stored;
    }

    private TransferEntry Entry(string id, TransferOrder order, EntryStatus status, Guid transactionId) => new(
        0, id, status, order.To.Text, order.Amount.MinorUnits, order.Amount.Currency.Code, order.Reference, Pairs.Format(order.Metadata),
        order.RequestedBy, Now(), null, null, null, null, transactionId);

    private AccountFacts Facts(AccountState account)
    {
        if (account.Settings is not { } settings)
        {
            return new AccountFacts(number, null, 0);
        }

        var currency = Currency.Parse(settings.Currency);
        var view = new Account(
            number, settings.Holder, currency, settings.Status, new Money(account.PostedMinor, currency), new Money(0, currency),
            new Money(settings.OverdraftLimitMinor, currency), account.PostingVersion, settings.Version, settings.OpenedAt, Pairs.Read(settings.Labels));
        return new AccountFacts(number, view, account.EntryNumber, settings.Opening, settings.OpenedBy, settings.OpeningKey);
    }

    /// <summary>Microseconds are what the database keeps.</summary>
    private DateTime Now()
    {
        var ticks = time.GetUtcNow().UtcTicks;
        return new DateTime(ticks - (ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
    }
}
