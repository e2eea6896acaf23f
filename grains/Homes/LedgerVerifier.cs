using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Banking.Accounts;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// Proves guarantees 1 to 3 over all homes from SQL alone: balances are sums of postings, versions have no gap, chains
/// verify, every posted transfer is in both accounts exactly once and nothing else is, so each currency sums to zero.
/// </summary>
/// <remarks>
/// One consistent snapshot per home, read in primary key order. Memory is bounded whatever the size of the ledger: expected
/// legs (from <c>transfer</c>) and found legs (from <c>posting</c>) are compared as multisets, by a sum of 128-bit digests per
/// bucket of transfer ids; only the few buckets that do not cancel out are read again, id by id. Under traffic a transfer may be
/// half inside a snapshot: its missing legs are looked up again for <see cref="InFlightMax"/> before they count as a breach.
/// </remarks>
internal sealed class LedgerVerifier(IReadOnlyDictionary<string, string> homes, TimeProvider time)
{
    private const int Buckets = 65_536, BreachesMax = 1_000, SuspectsMax = 1_000_000;

    private static readonly TimeSpan InFlightMax = TimeSpan.FromSeconds(10), LookAgain = TimeSpan.FromMilliseconds(250);

    private const string Ledger =
        "SELECT STRAIGHT_JOIN a.number, a.currency, a.posted_minor, a.posting_version, a.head_hash, a.kind, a.overdraft_limit_minor, a.entry_number, " +
        "p.version, p.kind, p.transfer_id, p.amount_minor, p.balance_after_minor, p.counterparty, p.reference, p.posted_at, p.hash, p.transaction_id " +
        "FROM account a LEFT JOIN posting p ON p.account = a.number ORDER BY a.number, p.version";

    private const string Orphans =
        "SELECT p.account, p.version FROM posting p LEFT JOIN account a ON a.number = p.account WHERE a.number IS NULL LIMIT 100";

    private const string Transfers =
        "SELECT STRAIGHT_JOIN t.source, t.number, t.id, t.status, t.destination, t.amount_minor, t.currency, a.entry_number " +
        "FROM transfer t LEFT JOIN account a ON a.number = t.source ORDER BY t.source, t.number";

    private const string Unsettled =
        "SELECT (SELECT COUNT(*) FROM pending_state), (SELECT COUNT(*) FROM account WHERE unsettled_since IS NOT NULL)";

    private const string LaterPostings =
        "SELECT a.currency, p.amount_minor FROM posting p JOIN account a ON a.number = p.account WHERE p.account = ? AND p.transfer_id = ?";

    private const string OneTransfer = "SELECT source, destination, amount_minor, currency, status FROM transfer WHERE id = ?";

    private readonly UInt128[] sums = new UInt128[Buckets];
    private readonly List<string> breaches = [];
    private readonly SortedDictionary<(string Currency, string Home), Totals> totals = [];
    private long unsettled, pending, inFlight;

    /// <summary>Accounts, postings and their sum, of one currency in one home.</summary>
    public sealed record Totals(long Accounts, long Postings, Int128 SumMinor);

    /// <summary>What was found. <paramref name="InFlight"/> counts transfers that were half inside the snapshots and whole later.</summary>
    public sealed record Report(
        IReadOnlyDictionary<(string Currency, string Home), Totals> Totals, IReadOnlyList<string> Breaches, long InFlight, long PendingStates, long UnsettledAccounts);

    public async Task<Report> RunAsync(CancellationToken cancellation = default)
    {
        var snapshots = new Dictionary<string, MySqlConnection>();
        try
        {
            foreach (var (home, connectionString) in homes)
            {
                snapshots[home] = await OpenSnapshotAsync(connectionString, cancellation);
            }

            foreach (var (home, snapshot) in snapshots)
            {
                await ReadLedgerAsync(home, snapshot, cancellation);
                await ReadTransfersAsync(snapshot, suspects: null, cancellation);
            }

            await ExplainSuspectsAsync(snapshots, cancellation);
        }
        finally
        {
            foreach (var snapshot in snapshots.Values)
            {
                await snapshot.DisposeAsync();
            }
        }

        return new Report(totals, breaches, inFlight, pending, unsettled);
    }

    private static async Task<MySqlConnection> OpenSnapshotAsync(string connectionString, CancellationToken cancellation)
    {
        var connection = new MySqlConnection(new MySqlConnectionStringBuilder(connectionString)
        {
            Pooling = false, DefaultCommandTimeout = 0, DateTimeKind = MySqlDateTimeKind.Utc, GuidFormat = MySqlGuidFormat.None,
        }.ConnectionString);
        await connection.OpenAsync(cancellation);
        using var begin = new SqlBatch();
        await begin.Add("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET SESSION time_zone = '+00:00'; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            .ExecuteAsync(connection, cancellation);
        return connection;
    }

    private async Task ReadLedgerAsync(string home, MySqlConnection snapshot, CancellationToken cancellation)
    {
        AccountWalk? walk = null;
        await ForEachAsync(snapshot, Ledger, row =>
        {
            var number = (string)row[0]!;
            if (walk?.Number != number)
            {
                Finish(walk);
                walk = new AccountWalk(number, (string)row[1]!, (long)row[2]!, (long)row[3]!, (byte[])row[4]!);
                if ((string)row[5]! != "internal" && (long)row[2]! < -(long)row[6]!)
                {
                    Breach($"account {number}: posted balance {row[2]} is below its limit of -{row[6]} minor units");
                }

                Count(home, walk.Currency, accounts: 1, 0, 0);
            }

            if (row[8] is not null)
            {
                Step(home, walk, row);
            }
        }, cancellation);
        Finish(walk);
        await ForEachAsync(snapshot, Orphans, row => Breach($"posting {row[0]} {row[1]}: there is no such account"), cancellation);
        await ForEachAsync(snapshot, Unsettled, row =>
        {
            pending += Convert.ToInt64(row[0], CultureInfo.InvariantCulture);
            unsettled += Convert.ToInt64(row[1], CultureInfo.InvariantCulture);
        }, cancellation);
    }

    /// <summary>One posting: its version follows, its balance adds up, its hash continues the chain.</summary>
    private void Step(string home, AccountWalk walk, object?[] row)
    {
        var posting = new LedgerPosting(
            (long)row[8]!, (string)row[9]!, (string)row[10]!, (long)row[11]!, (long)row[12]!, (string?)row[13], (string?)row[14], (DateTime)row[15]!, (byte[])row[16]!, default);
        if (posting.Version != walk.Version + 1)
        {
            Breach($"account {walk.Number}: expected posting {walk.Version + 1}, found posting {posting.Version}: a posting is missing or was added");
        }

        if ((Int128)walk.Balance + posting.AmountMinor != posting.BalanceAfterMinor)
        {
            Breach($"posting {walk.Number} {posting.Version}: balance after is {posting.BalanceAfterMinor}, the postings sum to {(Int128)walk.Balance + posting.AmountMinor}");
        }

        if (!Accounts.Ledger.HashOf(walk.Number, walk.Hash, posting).AsSpan().SequenceEqual(posting.Hash))
        {
            Breach($"posting {walk.Number} {posting.Version}: its hash does not continue the chain: it or the one before was altered");
        }

        // Continue from what is stored, so that one altered row is one finding.
        (walk.Version, walk.Balance, walk.Hash) = (posting.Version, posting.BalanceAfterMinor, posting.Hash);
        Count(home, walk.Currency, 0, postings: 1, posting.AmountMinor);
        Add(posting.TransferId, walk.Number, posting.AmountMinor, walk.Currency);
    }

    private void Finish(AccountWalk? walk)
    {
        if (walk is null)
        {
            return;
        }

        if (walk.ExpectedVersion != walk.Version)
        {
            Breach($"account {walk.Number}: it says that it has {walk.ExpectedVersion} postings, the last one found is {walk.Version}");
        }

        if (walk.ExpectedBalance != walk.Balance)
        {
            Breach($"account {walk.Number}: its posted balance is {walk.ExpectedBalance}, its postings sum to {walk.Balance}");
        }

        if (!walk.ExpectedHash.AsSpan().SequenceEqual(walk.Hash))
        {
            Breach($"account {walk.Number}: its head hash is not that of its last posting");
        }
    }

    /// <summary>Outcomes are numbered without a gap; each posted one takes its two legs out of the sums.</summary>
    private async Task ReadTransfersAsync(MySqlConnection snapshot, Dictionary<string, Suspect>? suspects, CancellationToken cancellation)
    {
        var (source, last, expected) = ("", 0L, 0L);
        await ForEachAsync(snapshot, Transfers, row =>
        {
            var id = (string)row[2]!;
            var isPosted = (string)row[3]! == "posted";
            if (suspects is not null)
            {
                if (isPosted && sums[BucketOf(id)] != 0)
                {
                    Remember(suspects, id);
                }

                return;
            }

            if ((string)row[0]! != source)
            {
                FinishSource();
                (source, last, expected) = ((string)row[0]!, 0, row[7] is long count ? count : -1);
            }

            if ((string)row[3]! != "prepared")
            {
                if ((long)row[1]! != last + 1)
                {
                    Breach($"account {source}: expected outcome {last + 1}, found {row[1]}");
                }

                last = (long)row[1]!;
            }

            if (isPosted)
            {
                Subtract(id, (string)row[0]!, -(long)row[5]!, (string)row[6]!);
                Subtract(id, (string)row[4]!, (long)row[5]!, (string)row[6]!);
            }
        }, cancellation);
        if (suspects is null)
        {
            FinishSource();
        }

        void FinishSource()
        {
            if (source.Length > 0 && last != expected)
            {
                Breach(expected < 0 ? $"transfer {source} {last}: there is no such account" : $"account {source}: it says that it has {expected} outcomes, the last one found is {last}");
            }
        }
    }

    /// <summary>Buckets that do not cancel out hold transfers that are half there: in flight, or a breach.</summary>
    private async Task ExplainSuspectsAsync(Dictionary<string, MySqlConnection> snapshots, CancellationToken cancellation)
    {
        if (Array.TrueForAll(sums, sum => sum == 0))
        {
            return;
        }

        var suspects = new Dictionary<string, Suspect>();
        foreach (var (_, snapshot) in snapshots)
        {
            await ReadTransfersAsync(snapshot, suspects, cancellation);
            await ForEachAsync(snapshot, Ledger, row =>
            {
                if (row[10] is string id && sums[BucketOf(id)] != 0)
                {
                    Remember(suspects, id).Accounts.Add((string)row[0]!);
                }
            }, cancellation);
        }

        var live = new Dictionary<string, MySqlConnection>();
        try
        {
            foreach (var (home, connectionString) in homes)
            {
                live[home] = new MySqlConnection(connectionString);
                await live[home].OpenAsync(cancellation);
            }

            var started = time.GetTimestamp();
            var first = true;
            while (true)
            {
                foreach (var id in suspects.Keys.ToList())
                {
                    if (await FindFaultAsync(live, id, suspects[id], cancellation) is { } fault)
                    {
                        suspects[id].Fault = fault;
                    }
                    else
                    {
                        inFlight += first ? 0 : 1;
                        suspects.Remove(id);
                    }
                }

                if (suspects.Count == 0 || time.GetElapsedTime(started) > InFlightMax)
                {
                    break;
                }

                first = false;
                await Task.Delay(LookAgain, time, cancellation);
            }
        }
        finally
        {
            foreach (var connection in live.Values)
            {
                await connection.DisposeAsync();
            }
        }

        foreach (var (id, suspect) in suspects)
        {
            Breach($"transfer {id}: {suspect.Fault}");
        }
    }

    /// <summary>Compares one transfer with its legs as they are now; null when they agree.</summary>
    private static async Task<string?> FindFaultAsync(Dictionary<string, MySqlConnection> live, string id, Suspect suspect, CancellationToken cancellation)
    {
        object?[]? transfer = null;
        if (TransferId.TryParse(id, out var parsed) && live.TryGetValue(parsed.Source.Home, out var sourceHome))
        {
            await ForEachAsync(sourceHome, OneTransfer, row => transfer = row, cancellation, id);
        }

        var expected = new Dictionary<string, long>();
        if (transfer is not null && (string)transfer[4]! == "posted")
        {
            expected[(string)transfer[0]!] = -(long)transfer[2]!;
            expected[(string)transfer[1]!] = (long)transfer[2]!;
        }

        foreach (var account in suspect.Accounts.Union(expected.Keys))
        {
            var found = new List<long>();
            var currency = "";
            if (AccountNumber.TryParse(account, out var number) && live.TryGetValue(number.Home, out var home))
            {
                await ForEachAsync(home, LaterPostings, row =>
                {
                    currency = (string)row[0]!;
                    found.Add((long)row[1]!);
                }, cancellation, account, id);
            }

            var wanted = expected.TryGetValue(account, out var amount) ? amount : (long?)null;
            if (wanted is null && found.Count > 0)
            {
                return $"it is on {account} with {string.Join(", ", found)} minor units, and is not posted at its source";
            }

            if (wanted is not null && found is not [var only])
            {
                return $"expected it once on {account} with {wanted} minor units, found it {found.Count} times";
            }

            if (wanted is not null && found[0] != wanted)
            {
                return $"expected it on {account} with {wanted} minor units, found {found[0]}";
            }

            if (wanted is not null && currency != (string)transfer![3]!)
            {
                return $"its currency is {transfer[3]}, that of {account} is {currency}";
            }
        }

        return null;
    }

    private static async Task ForEachAsync(MySqlConnection connection, string text, Action<object?[]> handle, CancellationToken cancellation, params string[] parameters)
    {
        using var sql = new SqlBatch(timeoutSeconds: 0);
        sql.Add(text);
        foreach (var parameter in parameters)
        {
            sql.Bind(parameter);
        }

        await using var reader = await sql.ReadAsync(connection, cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            handle(SqlRow.Read(reader));
        }
    }

    private static Suspect Remember(Dictionary<string, Suspect> suspects, string id)
    {
        if (!suspects.TryGetValue(id, out var suspect))
        {
            if (suspects.Count >= SuspectsMax)
            {
                throw new InvalidOperationException($"More than {SuspectsMax} transfers do not add up; nothing here can be trusted.");
            }

            suspects[id] = suspect = new Suspect();
        }

        return suspect;
    }

    private void Add(string id, string account, long amountMinor, string currency)
    {
        unchecked
        {
            sums[BucketOf(id)] += DigestOf(id, account, amountMinor, currency);
        }
    }

    private void Subtract(string id, string account, long amountMinor, string currency)
    {
        unchecked
        {
            sums[BucketOf(id)] -= DigestOf(id, account, amountMinor, currency);
        }
    }

    private static UInt128 DigestOf(string id, string account, long amountMinor, string currency) =>
        System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(
            SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}|{account}|{amountMinor}|{currency}"))));

    private static int BucketOf(string id) => SHA256.HashData(Encoding.UTF8.GetBytes(id)) is var hash ? hash[0] | (hash[1] << 8) : 0;

    private void Count(string home, string currency, long accounts, long postings, long amountMinor)
    {
        var before = totals.GetValueOrDefault((currency, home)) ?? new Totals(0, 0, 0);
        totals[(currency, home)] = new Totals(before.Accounts + accounts, before.Postings + postings, before.SumMinor + amountMinor);
    }

    private void Breach(string what)
    {
        if (breaches.Count < BreachesMax)
        {
            breaches.Add(what);
        }
    }

    private sealed class Suspect
    {
        public HashSet<string> Accounts { get; } = [];

        public string Fault { get; set; } = "";
    }

    private sealed class AccountWalk(string number, string currency, long expectedBalance, long expectedVersion, byte[] expectedHash)
    {
        public string Number { get; } = number;

        public string Currency { get; } = currency;

        public long ExpectedBalance { get; } = expectedBalance;

        public long ExpectedVersion { get; } = expectedVersion;

        public byte[] ExpectedHash { get; } = expectedHash;

        public long Version { get; set; }

        public long Balance { get; set; }

        public byte[] Hash { get; set; } = Accounts.Ledger.NoHash;
    }
}
