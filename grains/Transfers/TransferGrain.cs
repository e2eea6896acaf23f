using Banking.Accounts;
using Banking.Homes;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Transactions;

namespace Banking.Transfers;

/// <summary>
/// The transfers of one source account. A transfer is: look up the id → one Orleans transaction over both accounts → answer.
/// What the transaction cannot decide for good is settled by a second one on the source account alone.
/// </summary>
/// <remarks>
/// Retries of an id join the execution under way. An execution goes on when its callers stop waiting.
/// Round trips without trouble: one look-up, one call to the account that is last in the global order (which chains to the
/// other), two durable writes in a row. Bounds: <see cref="AttemptsMax"/>, <see cref="ExecutionTimeMax"/>, <see cref="ExecutionsMax"/>.
/// </remarks>
[GrainType("transfer"), Reentrant]
internal sealed partial class TransferGrain(HomeRegistry homes, TransferInstruments instruments, TimeProvider time, Random random, ILogger<TransferGrain> logger)
    : Grain, ITransferGrain
{
    /// <summary>How long a caller waits; the front door answers 202 after that.</summary>
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromSeconds(9.5);

    /// <summary>How long an execution tries to reach an outcome. After that the next request with its key takes it up again.</summary>
    private static readonly TimeSpan ExecutionTimeMax = TimeSpan.FromSeconds(60);

    /// <summary>Aborted transactions of one execution; each waits longer than the one before.</summary>
    private const int AttemptsMax = 12;

    /// <summary>Look-ups without a pause before them; one is the rule, and if they find nothing something is wrong.</summary>
    private const int PromptAttemptsMax = 4;

    /// <summary>Transfers of one source under way at once; more are refused as overloaded.</summary>
    private const int ExecutionsMax = 1_000;

    private readonly Dictionary<string, Execution> executions = [];
    private AccountNumber source;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        source = AccountNumber.Parse(this.GetPrimaryKeyString());
        return base.OnActivateAsync(cancellationToken);
    }

    public async Task<TransferOutcome> Transfer(TransferOrder order)
    {
        var id = TransferId.Of(source, order.Key).Text;
        if (TransferChecks.Validate(order) is { } invalid)
        {
            return NotTaken(id, invalid);
        }

        var isFirst = !executions.TryGetValue(id, out var execution);
        if (execution is null)
        {
            if (executions.Count >= ExecutionsMax)
            {
                return NotTaken(id, new Refusal(Code.Overloaded, $"Expected at most {ExecutionsMax} transfers of {source.Masked} under way."));
            }

            executions[id] = execution = new Execution(order);
            execution.Outcome = ExecuteAsync(id, order);
        }

        try
        {
            var outcome = await execution.Outcome.WaitAsync(AnswerTimeMax, time);
            if (isFirst)
            {
                return outcome;
            }

            // A joined retry. Where nothing was stored it has no outcome of another payload to be told.
            return outcome.Receipt is null && outcome.Refusal?.TransferId is null
                ? outcome
                : IsSamePayload(order, execution.Order) ? outcome with { Replayed = true } : Reused(id);
        }
        catch (TimeoutException)
        {
            return new TransferOutcome(TransferStatus.Pending, id, null, null, false);
        }
    }

    public async Task<TransferOutcome> DryRun(TransferOrder order)
    {
        if ((TransferChecks.Validate(order) ?? Unavailable(source.Home) ?? Unavailable(order.To.Home)) is { } invalid)
        {
            return NotTaken("", invalid);
        }

        var payer = await FactsAsync(source);
        if (payer.Account is not { } account)
        {
            return NotTaken("", new Refusal(Code.AccountNotFound, "There is no such account."));
        }

        return TransferChecks.Check(source, order, payer, source == order.To ? payer : await FactsAsync(order.To)) is { } refusal
            ? new TransferOutcome(TransferStatus.Refused, "", null, refusal, false)
            : new TransferOutcome(TransferStatus.Posted, "", Receipt("", 0, order, account.Posted - order.Amount, default), null, false);
    }

    public async Task<TransferRecord?> GetTransfer(string id)
    {
        await FactsAsync(source); // waits for earlier writes, so that what was answered shows (guarantee 7)
        var record = (await Legs(source).LookUp(id)).Record;
        return record ?? (executions.TryGetValue(id, out var execution) ? Receipt(id, 0, execution.Order, null, default) with { Status = TransferStatus.Pending } : null);
    }

    public async Task<Page<TransferRecord>?> GetTransfers(PageRequest page, TransferFilter filter)
    {
        var facts = await FactsAsync(source);
        if (!facts.IsOpened)
        {
            return null;
        }

        var rows = await LedgerQueries.TransfersAsync(homes.OfKey(source.Text), source.Text, facts.EntryNumber, page, filter);
        var items = rows.Take(page.Limit).Select(AccountTable.ReadTransfer).ToList();
        return new Page<TransferRecord>(items, rows.Count > page.Limit ? items[^1].Number : null);
    }

    private async Task<TransferOutcome> ExecuteAsync(string id, TransferOrder order)
    {
        await Task.Yield(); // the execution must be in the dictionary before it can end
        var started = time.GetTimestamp();
        TransferOutcome outcome;
        try
        {
            outcome = await RunAsync(id, order, started);
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            LogFailed(id, exception);
            throw;
        }
        finally
        {
            executions.Remove(id);
        }

        instruments.Ended(outcome, time.GetElapsedTime(started));
        return outcome;
    }

    /// <summary>The transfer on one screen. Every way out is a final outcome, or one that says that nothing was stored.</summary>
    private async Task<TransferOutcome> RunAsync(string id, TransferOrder order, long started)
    {
        var tried = false; // true once this execution began a transaction: an outcome found before that is an earlier request's
        var unknown = false; // true once a transaction ended without saying how: from then on the key must be settled
        var inFlight = false; // true while the id has a row without an outcome: it may still post, so nobody is told that nothing changed
        var trouble = "nothing";
        for (var (attempt, aborts) = (1, 0); ; attempt++)
        {
            var posting = false;
            var pause = Backoff(attempt);
            var settled = attempt < PromptAttemptsMax ? default : pause; // what was just settled is looked up at once
            if (!unknown && !inFlight && Unavailable(source.Home) is { } sourceIsDown)
            {
                return NotTaken(id, sourceIsDown);
            }

            try
            {
                var found = await Legs(source).LookUp(id);
                inFlight = found.Record is not null;
                if (!found.IsOpen)
                {
                    return NotTaken(id, new Refusal(Code.AccountNotFound, "There is no such account."));
                }

                if (found.Record is { Status: not TransferStatus.Pending } known && found.IsDurable)
                {
                    return IsSamePayload(order, known) ? Outcome(known, replayed: !tried) : Reused(id);
                }

                if (found.Record is null && unknown)
                {
                    await SettleAsync(id, order, found.Ticket, payee: null);
                    pause = settled;
                }
                else if (found.Record is null && Unavailable(order.To.Home) is { } payeeIsDown)
                {
                    return NotTaken(id, payeeIsDown);
                }
                else if (found.Record is null && (source == order.To || !homes.TryGet(order.To.Home, out _)))
                {
                    // No transaction can be run: refused without one.
                    tried = true;
                    await SettleAsync(id, order, found.Ticket, await FactsAsync(order.To));
                    pause = settled;
                }
                else if (found.Record is null)
                {
                    tried = posting = true;
                    return await PostAsync(id, order, found.Ticket);
                }
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                (aborts, trouble) = (aborts + 1, exception.Message);
                switch (Classify(exception))
                {
                    case Failure.Refused:
                        pause = await TrySettleAsync(id, order) ? settled : pause;
                        break;
                    case Failure.NoSource:
                        return NotTaken(id, new Refusal(Code.AccountNotFound, "There is no such account."));
                    case Failure.Overloaded when !unknown && !inFlight:
                        return NotTaken(id, new Refusal(Code.Overloaded, "Too many transfers wait for one of the accounts. Nothing changed; send it again."));
                    case Failure.Unavailable when !unknown && !inFlight && aborts > 2:
                        return NotTaken(id, new Refusal(Code.HomeUnavailable, "A home database cannot be reached. Nothing changed; send it again."));
                    case Failure.Unknown when posting:
                        LogOutcomeUnknown(id, MaskedText.Of(exception.Message));
                        unknown = true;
                        break;
                }
            }

            if (!unknown && !inFlight && aborts >= AttemptsMax)
            {
                return NotTaken(id, new Refusal(Code.Overloaded, $"The transfer was aborted {aborts} times by others. Nothing changed; send it again."));
            }

            if (time.GetElapsedTime(started) > ExecutionTimeMax)
            {
                LogStillOpen(id, attempt, unknown ? "its outcome is unknown" : inFlight ? "it is prepared" : "it was aborted", MaskedText.Of(trouble));
                return new TransferOutcome(TransferStatus.Pending, id, null, null, false);
            }

            await Task.Delay(pause, time);
        }
    }

    /// <summary>One Orleans transaction, chained through the account that is last in the global order.</summary>
    private async Task<TransferOutcome> PostAsync(string id, TransferOrder order, Ticket ticket)
    {
        var debit = new TransferLeg(source, -order.Amount.MinorUnits, id, order.To, order, ticket);
        var credit = new TransferLeg(order.To, order.Amount.MinorUnits, id, source, order, null);
        TransferLeg[] legs = source.CompareTo(order.To) < 0 ? [debit, credit] : [credit, debit];
        var receipts = await Legs(legs[^1].Account).PostAll(legs);
        var receipt = receipts.Single(leg => leg.Account == source);
        var balanceAfter = new Money(receipt.BalanceAfterMinor, order.Amount.Currency);
        return new TransferOutcome(TransferStatus.Posted, id, Receipt(id, receipt.EntryNumber, order, balanceAfter, receipt.PostedAt), null, false);
    }

    /// <summary>A refusal or a tombstone becomes final by a transaction of the source account alone (5.4).</summary>
    private async Task SettleAsync(string id, TransferOrder order, Ticket ticket, AccountFacts? payee) =>
        await Legs(source).Settle(new Settlement(id, order, ticket, payee));

    /// <summary>The committed facts of an account; a home that does not exist has no accounts.</summary>
    private async Task<AccountFacts> FactsAsync(AccountNumber number) =>
        homes.TryGet(number.Home, out _) ? await Legs(number).ReadAsync(number, time) : new AccountFacts(number, null, 0);

    /// <summary>The circuit of a home, asked before the first leg: one transfer to a dead home would block all behind it.</summary>
    private Refusal? Unavailable(string name) => homes.TryGet(name, out var home)
        ? home.IsAvailable ? null : new Refusal(Code.HomeUnavailable, $"Home {name} cannot be reached. Nothing changed; send it again.")
        : name == source.Home ? new Refusal(Code.AccountNotFound, "There is no such account.") : null;

    /// <summary>Settles a refusal that a leg saw; false when that failed too, which the next round finds out about.</summary>
    private async Task<bool> TrySettleAsync(string id, TransferOrder order)
    {
        try
        {
            var payee = await FactsAsync(order.To);
            var found = await Legs(source).LookUp(id);
            if (found.Record is null)
            {
                await SettleAsync(id, order, found.Ticket, payee);
            }

            return true;
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            LogStepFailed(source.Masked, MaskedText.Of(exception.Message));
            return false;
        }
    }

    private IAccountLegs Legs(AccountNumber account) => GrainFactory.GetGrain<IAccountLegs>(account.Text);

    /// <summary>10, 20, 40 … 640 ms, each between half and all of it at random.</summary>
    private TimeSpan Backoff(int attempt) => TimeSpan.FromMilliseconds(10 * (1 << Math.Min(attempt - 1, 6)) * (0.5 + (random.NextDouble() / 2)));

    private static Failure Classify(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is LegFailedException leg)
            {
                return leg.Failure switch
                {
                    LegFailure.Refused => Failure.Refused,
                    LegFailure.Overloaded => Failure.Overloaded,
                    LegFailure.NoSource => Failure.NoSource,
                    _ => Failure.Aborted,
                };
            }
        }

        return exception switch
        {
            OrleansTransactionAbortedException { InnerException: HomeUnavailableException } => Failure.Unavailable,
            OrleansTransactionAbortedException => Failure.Aborted, // also a time-out in a leg: nothing was prepared
            OrleansStartTransactionFailedException => Failure.Overloaded,
            HomeUnavailableException => Failure.Unavailable, // an activation that could not load: no transaction had begun
            _ => Failure.Unknown,
        };
    }

    private static bool IsSamePayload(TransferOrder order, TransferRecord known) =>
        known.To == order.To && known.Amount == order.Amount && known.Reference == order.Reference && Pairs.Format(known.Metadata) == Pairs.Format(order.Metadata);

    private static bool IsSamePayload(TransferOrder order, TransferOrder other) =>
        other.To == order.To && other.Amount == order.Amount && other.Reference == order.Reference && Pairs.Format(other.Metadata) == Pairs.Format(order.Metadata);

    private TransferRecord Receipt(string id, long number, TransferOrder order, Money? balanceAfter, DateTime postedAt) => new(
        id, number, TransferStatus.Posted, source, order.To, order.Amount, order.Reference, Pairs.Read(Pairs.Format(order.Metadata)), postedAt, balanceAfter, null, order.RequestedBy);

    private static TransferOutcome Outcome(TransferRecord known, bool replayed) => known.Status == TransferStatus.Posted
        ? new TransferOutcome(TransferStatus.Posted, known.Id, known, null, replayed)
        : new TransferOutcome(TransferStatus.Refused, known.Id, null, known.Refusal! with { Replayed = replayed }, replayed);

    private static TransferOutcome NotTaken(string id, Refusal refusal) => new(TransferStatus.Refused, id, null, refusal, false);

    private static TransferOutcome Reused(string id) =>
        NotTaken(id, new Refusal(Code.IdempotencyKeyReused, "The key was used before with another payload; that one's outcome stands.") { TransferId = id });

    private enum Failure
    {
        Refused,
        NoSource,
        Overloaded,
        Unavailable,
        Aborted,
        Unknown,
    }

    private sealed class Execution(TransferOrder order)
    {
        public TransferOrder Order { get; } = order;

        public Task<TransferOutcome> Outcome { get; set; } = Task.FromResult<TransferOutcome>(null!);
    }
}
