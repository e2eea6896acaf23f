using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;

namespace Banking.Accounts;

/// <summary>
/// What an activation knows to be durable about its account (rule 3.10): set only by a Load and a successful Store, on the
/// grain's scheduler. It also keeps the ids of recently durable outcomes, so that a debit can name every outcome since its
/// ticket was issued (rule 5.3). One per activation.
/// </summary>
internal sealed class DurableAccount
{
    /// <summary>How old a ticket may be. Longer than a transaction's lease, so an honest ticket never fails on it.</summary>
    private static readonly TimeSpan TicketLife = TimeSpan.FromSeconds(5);

    /// <summary>Time for one posting before any was measured: about what an account takes that does not decide.</summary>
    private static readonly TimeSpan CycleAtFirst = TimeSpan.FromMilliseconds(4);

    /// <summary>
    /// Transactions that may be under way on the account whatever it costs: fewer than can time out together.
    /// </summary>
    private const int AdmittedAlways = 64;

    /// <summary>
    /// What the whole queue of an account may take: below the wait for a lock (2 s) and a third of the prepare time-out (7 s), or
    /// it would time out as a whole.
    /// </summary>
    private static readonly TimeSpan QueueTimeMax = BankingGrains.Acquire * 0.75;

    /// <summary>By number; what is too old at the front is cut off when it has become half of the list.</summary>
    private readonly List<(long Number, UInt128 Id, long At)> recent = [];
    private TimeSpan cycle = CycleAtFirst;
    private long newestPosting, busySince;

    /// <summary>The row's fence: no two loads of an account share one.</summary>
    public long Epoch { get; private set; }

    public bool IsOpened { get; private set; }

    public long PostingVersion { get; private set; }

    public long EntryNumber { get; private set; }

    /// <summary>Outcomes up to this number can no longer be named from memory.</summary>
    private long ForgottenNumber { get; set; }

    /// <summary>Called by the storage after a Load (<paramref name="loaded"/>) or a successful Store.</summary>
    public void BecameDurable(AccountState state, long epoch, bool loaded)
    {
        if (loaded)
        {
            recent.Clear();
            ForgottenNumber = state.EntryNumber;
        }
        else
        {
            var now = Stopwatch.GetTimestamp();
            if (state.PostingVersion > PostingVersion)
            {
                MeasureCycle(state.PostingVersion, now);
            }

            foreach (var entry in state.NewEntries.Where(entry => entry.Number > EntryNumber))
            {
                recent.Add((entry.Number, Digest(entry.Id), now));
            }

            ForgetOld(now);
        }

        (Epoch, IsOpened, PostingVersion, EntryNumber) = (epoch, state.Settings is not null, state.PostingVersion, state.EntryNumber);
    }

    /// <summary>A ticket for a debit: whatever became durable before it is found by the look-up that follows.</summary>
    public Ticket IssueTicket() => new(Epoch, EntryNumber);

    /// <summary>
    /// Admission: whether one more transaction may queue behind so many. The account's own recent time for a posting says how
    /// long they take: a fraction of a millisecond where it decides, several where another account does.
    /// </summary>
    public bool Admits(long underWay) => underWay < AdmittedAlways || cycle * underWay < QueueTimeMax;

    /// <summary>Told before a posting is made on a state.</summary>
    public void Begins(long stateVersion)
    {
        newestPosting = stateVersion + 1;
        if (stateVersion == PostingVersion)
        {
            busySince = 0; // nothing was under way: how long this one takes says how long it waited for others, not how long a queue takes
        }
    }

    /// <summary>
    /// Whether the id has an outcome in (ticket, state]. Null when that cannot be told: the account was loaded again since, or
    /// the ticket is too old; take a new one.
    /// </summary>
    public bool? Knows(AccountState state, Ticket ticket, string id)
    {
        if (ticket.Epoch != Epoch || ticket.EntryNumber < ForgottenNumber)
        {
            return null;
        }

        if (state.NewEntries.Any(entry => entry.Id == id))
        {
            return true;
        }

        var digest = Digest(id);
        for (var index = recent.Count - 1; index >= 0 && recent[index].Number > ticket.EntryNumber; index--)
        {
            if (recent[index].Id == digest)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Time for a posting while there is a queue. One outlier must not close the account; a lasting change shows soon.</summary>
    private void MeasureCycle(long postingVersion, long now)
    {
        if (busySince != 0)
        {
            var sample = Stopwatch.GetElapsedTime(busySince, now) / (postingVersion - PostingVersion);
            cycle = ((cycle * 7) + (sample < cycle * 4 ? sample : cycle * 4)) / 8;
        }

        busySince = newestPosting > postingVersion ? now : 0;
    }

    private void ForgetOld(long now)
    {
        var half = recent.Count / 2;
        if (half > 0 && Stopwatch.GetElapsedTime(recent[half - 1].At, now) > TicketLife)
        {
            ForgottenNumber = recent[half - 1].Number;
            recent.RemoveRange(0, half);
        }
    }

    private static UInt128 Digest(string id)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(id), hash);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash);
    }
}

/// <summary>Proof that a transfer id was looked up: in which load epoch, and which outcomes were durable then.</summary>
[GenerateSerializer, Immutable, Alias("banking.Ticket")]
internal readonly record struct Ticket([property: Id(0)] long Epoch, [property: Id(1)] long EntryNumber);
