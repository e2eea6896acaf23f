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

    private readonly Queue<(long Number, UInt128 Id, long At)> recent = new();

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
            foreach (var entry in state.NewEntries.Where(entry => entry.Number > EntryNumber))
            {
                recent.Enqueue((entry.Number, Digest(entry.Id), now));
            }

            while (recent.TryPeek(out var oldest) && Stopwatch.GetElapsedTime(oldest.At, now) > TicketLife)
            {
                ForgottenNumber = recent.Dequeue().Number;
            }
        }

        (Epoch, IsOpened, PostingVersion, EntryNumber) = (epoch, state.Settings is not null, state.PostingVersion, state.EntryNumber);
    }

    /// <summary>A ticket for a debit: whatever became durable before it is found by the look-up that follows.</summary>
    public Ticket IssueTicket() => new(Epoch, EntryNumber);

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
        return recent.Any(entry => entry.Number > ticket.EntryNumber && entry.Id == digest);
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
