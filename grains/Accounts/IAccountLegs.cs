using Orleans.Concurrency;
using Orleans.Transactions;

namespace Banking.Accounts;

/// <summary>
/// What grains of this assembly ask of an account. Not for clients: a leg posts without looking at the other side.
/// Same grains as <see cref="IAccountGrain"/>.
/// </summary>
[Alias("banking.IAccountLegs")]
internal interface IAccountLegs : IGrainWithStringKey
{
    /// <summary>
    /// Posts all legs in one transaction. Called on the account that is last in the global order; it awaits the others one
    /// after the other in ascending order and posts its own leg last, so it is locked for the shortest time and becomes the
    /// transaction's manager.
    /// </summary>
    [Transaction(TransactionOption.Create), Alias("PostAll")]
    Task<LegReceipt[]> PostAll(TransferLeg[] ascendingLegs);

    /// <summary>Posts one leg inside the caller's transaction.</summary>
    [Transaction(TransactionOption.Join), Alias("PostLeg")]
    Task<LegReceipt> PostLeg(TransferLeg leg);

    /// <summary>The first step of a transfer at its source: a ticket, then the look-up of the id.</summary>
    [Alias("LookUp")]
    Task<TransferLookUp> LookUp(string transferId);

    /// <summary>
    /// Settles on the source account alone what a transfer could not: appends the refusal if it still holds, or the tombstone
    /// of an unknown outcome. Only the commit of this transaction makes the answer final (rule 5.4).
    /// </summary>
    [Transaction(TransactionOption.Create), Alias("Settle")]
    Task<SettlementResult> Settle(Settlement settlement);

    /// <summary>The committed facts of the account, in a transaction of its own.</summary>
    [Transaction(TransactionOption.Create), ReadOnly, Alias("Read")]
    Task<AccountFacts> Read();

    /// <summary>Opens the account in a transaction of its own; answers with what is there if it is open already.</summary>
    [Transaction(TransactionOption.Create), Alias("Open")]
    Task<OpenResult> Open(AccountOpening opening, string canonicalOpening);
}

/// <summary>How everybody reads an account.</summary>
internal static class AccountReads
{
    /// <summary>Attempts of a read whose transaction aborts, and how long it tries.</summary>
    private const int AttemptsMax = 20;
    private static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(8), PauseMax = TimeSpan.FromMilliseconds(200);

    /// <summary>
    /// The committed facts, after everything that was answered before (guarantee 7). A read changes nothing, so it may be
    /// sent again on any exception of its transaction (5.7).
    /// </summary>
    /// <exception cref="HomeUnavailableException">It could not be read in time.</exception>
    public static async Task<AccountFacts> ReadAsync(this IAccountLegs account, AccountNumber number, TimeProvider time)
    {
        var started = time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await account.Read();
            }
            catch (OrleansTransactionException) when (attempt < AttemptsMax && time.GetElapsedTime(started) < TimeMax)
            {
                var pause = TimeSpan.FromMilliseconds(10 * attempt);
                await Task.Delay(pause < PauseMax ? pause : PauseMax, time);
            }
            catch (OrleansTransactionException exception)
            {
                throw new HomeUnavailableException($"Account {number.Masked} could not be read in {attempt} attempts: {exception.Message}");
            }
        }
    }
}

/// <summary>The account behind a number, and whether this call opened it.</summary>
[GenerateSerializer, Immutable, Alias("banking.OpenResult")]
internal sealed record OpenResult([property: Id(0)] AccountFacts Facts, [property: Id(1)] bool OpensNow);

/// <summary>One signed amount of a transfer.</summary>
/// <param name="Account">The account it is posted to.</param>
/// <param name="AmountMinor">Negative for the debit.</param>
/// <param name="TransferId">The transfer.</param>
/// <param name="Counterparty">The other account.</param>
/// <param name="Order">What was ordered.</param>
/// <param name="Ticket">Set on the debit: see <see cref="DurableAccount"/>.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferLeg")]
internal sealed record TransferLeg(
    [property: Id(0)] AccountNumber Account,
    [property: Id(1)] long AmountMinor,
    [property: Id(2)] string TransferId,
    [property: Id(3)] AccountNumber Counterparty,
    [property: Id(4)] TransferOrder Order,
    [property: Id(5)] Ticket? Ticket);

/// <summary>What a leg left behind; final only when its transaction has committed.</summary>
[GenerateSerializer, Immutable, Alias("banking.LegReceipt")]
internal sealed record LegReceipt(
    [property: Id(0)] AccountNumber Account,
    [property: Id(1)] long BalanceAfterMinor,
    [property: Id(2)] DateTime PostedAt,
    [property: Id(3)] long EntryNumber);

/// <summary>The answer to a look-up.</summary>
/// <param name="IsOpen">False when there is no such source account.</param>
/// <param name="Ticket">For the debit, if there is no record.</param>
/// <param name="Record">The known outcome, or the transfer in flight (pending); null for an unknown id.</param>
/// <param name="IsDurable">False while the record is still on its way to the disk.</param>
[GenerateSerializer, Immutable, Alias("banking.TransferLookUp")]
internal sealed record TransferLookUp(
    [property: Id(0)] bool IsOpen,
    [property: Id(1)] Ticket Ticket,
    [property: Id(2)] TransferRecord? Record,
    [property: Id(3)] bool IsDurable);

/// <summary>What is to be settled at the source.</summary>
/// <param name="TransferId">The transfer.</param>
/// <param name="Order">What was ordered.</param>
/// <param name="Ticket">From a look-up that found nothing.</param>
/// <param name="Payee">The payee's committed facts; null when the outcome is unknown and a tombstone is wanted.</param>
[GenerateSerializer, Immutable, Alias("banking.Settlement")]
internal sealed record Settlement(
    [property: Id(0)] string TransferId,
    [property: Id(1)] TransferOrder Order,
    [property: Id(2)] Ticket Ticket,
    [property: Id(3)] AccountFacts? Payee);

/// <summary>What a settlement did.</summary>
[GenerateSerializer, Alias("banking.SettlementResult")]
internal enum SettlementResult
{
    /// <summary>The outcome is stored now, or was there before: look it up.</summary>
    Stored,
    /// <summary>Nothing stands in the way any more: run the transfer again.</summary>
    RunAgain,
    /// <summary>The ticket was too old: take a new one.</summary>
    TakeNewTicket,
}

/// <summary>An account as the checks see it; <see cref="IsOpened"/> is false for a number that was never given out.</summary>
[GenerateSerializer, Immutable, Alias("banking.AccountFacts")]
internal sealed record AccountFacts(
    [property: Id(0)] AccountNumber Number,
    [property: Id(1)] Account? Account,
    [property: Id(2)] long EntryNumber,
    [property: Id(3)] string? Opening = null,
    [property: Id(4)] string? OpenedBy = null,
    [property: Id(5)] string? OpeningKey = null)
{
    public bool IsOpened => Account is not null;
}

/// <summary>Why a leg aborts its transaction. Crosses the transaction as an exception and becomes a value again behind it.</summary>
[GenerateSerializer, Alias("banking.LegFailure")]
internal enum LegFailure
{
    /// <summary>A money check failed, on state that may itself still abort: settle it.</summary>
    Refused,
    /// <summary>The id is known or the ticket too old: look up again.</summary>
    LookUpAgain,
    /// <summary>Too many legs wait for the account.</summary>
    Overloaded,
    /// <summary>The source account was never opened.</summary>
    NoSource,
}

/// <summary>The one exception that a leg throws on purpose.</summary>
[GenerateSerializer, Alias("banking.LegFailedException")]
internal sealed class LegFailedException(LegFailure failure, string message) : Exception(message)
{
    [Id(0)] public LegFailure Failure { get; } = failure;
}
