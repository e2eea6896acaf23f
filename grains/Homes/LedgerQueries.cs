using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// The lists and rare look-ups over a home's ledger. Their failures do not open the home's circuit: a slow list or an
/// exhausted pool says nothing about the money path, which has connections and a probe of its own.
/// </summary>
internal static class LedgerQueries
{
    /// <summary>Clocks of silos may differ by this much when a manager's postings are searched by time.</summary>
    private static readonly TimeSpan ClockSkewMax = TimeSpan.FromMinutes(10);

    /// <summary>Ten minutes of the hottest account are about two million rows, which a server scans in about a second.</summary>
    private const int SearchTimeoutSeconds = 10;

    /// <summary>Postings of an account up to a version, one page; one row more than asked for tells that there is a next page.</summary>
    public static async Task<List<object?[]>> PostingsAsync(Home home, string account, long upToVersion, PageRequest page)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.SelectPostings).Bind(account).Add("AND version <= ? ").Bind(upToVersion);
        AddPage(sql, page, "version", "posted_at");
        return await ReadAsync(home, sql);
    }

    /// <summary>Outcomes of a source account up to a number, one page.</summary>
    public static async Task<List<object?[]>> TransfersAsync(Home home, string source, long upToNumber, PageRequest page, TransferFilter filter)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.SelectTransfersOf).Bind(source).Bind(upToNumber).Add("AND status <> 'prepared' ");
        if (filter.Status is { } status)
        {
            sql.Add(status switch
            {
                TransferStatus.Posted => "AND status = 'posted' ",
                TransferStatus.Refused => "AND status IN ('refused', 'abandoned') ",
                _ => "AND 1 = 0 ",
            });
        }

        if (filter.Reference is { } reference)
        {
            sql.Add("AND reference = ? ").Bind(reference);
        }

        if (filter.Key is { } key)
        {
            sql.Add("AND id = ? ").Bind(TransferId.Of(AccountNumber.Parse(source), key).Text);
        }

        AddPage(sql, page, "number", "decided_at");
        return await ReadAsync(home, sql);
    }

    /// <summary>The account that an opening key made; null for a new key.</summary>
    public static async Task<string?> FindOpeningAsync(Home home, string openedBy, string key)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.FindOpening).Bind(openedBy).Bind(key);
        var rows = await ReadAsync(home, sql);
        return rows is [var row, ..] ? (string?)row[0] : null;
    }

    /// <summary>Keys of rows that have been under way since before an instant, oldest first.</summary>
    public static async Task<List<string>> UnsettledAsync(Home home, StateTable table, DateTime before, int most)
    {
        using var sql = new SqlBatch();
        sql.Add(table.SelectUnsettled).Bind(before).Bind(most);
        return (await ReadAsync(home, sql)).ConvertAll(row => (string)row[0]!);
    }

    /// <summary>
    /// Rule 3.8: whether a manager committed a transaction, by its commit records or by its postings, read under a lock
    /// on its row that waits for a write on its way. Throws when it cannot be told; then the caller must not cancel.
    /// </summary>
    public static async Task<bool> HasCommittedAsync(Home home, ManagerReference manager, Guid transactionId, DateTime since)
    {
        home.ThrowIfUnavailable();
        try
        {
            await using var connection = await home.OpenAsync(default);
            using (var sql = new SqlBatch())
            {
                sql.Add(Statements.Begin).Add(Statements.LockManager).Bind(manager.GrainKey).Bind($"{manager.State}/{manager.GrainKey}");
                await using var reader = await sql.ReadAsync(connection);
                do
                {
                    while (await reader.ReadAsync())
                    {
                        if (!reader.IsDBNull(0) && StoredMetadata.Read(0, reader.GetString(0)).Commits.Any(commit => commit.Id == transactionId))
                        {
                            return true;
                        }
                    }
                }
                while (await reader.NextResultAsync());
            }

            // The lock did its work: a write that was on its way is visible now. Nobody waits for the search.
            using var release = new SqlBatch();
            await release.Add("COMMIT").ExecuteAsync(connection);
            return await HasPostedAsync(connection, manager.GrainKey, transactionId, since - ClockSkewMax);
        }
        catch (MySqlException exception)
        {
            throw new HomeUnavailableException($"Home {home.Name} could not tell whether {manager.GrainKey} committed {transactionId}: {exception.Message}");
        }
    }

    /// <summary>
    /// Searches the postings since an instant. Their times never go back, so the first one is found by halving: about thirty
    /// reads by primary key whatever the account's age, then one range scan on the server.
    /// </summary>
    private static async Task<bool> HasPostedAsync(MySqlConnection connection, string account, Guid transactionId, DateTime since)
    {
        var (low, high) = (1L, (await FirstAsync(connection, Statements.LastVersion, account) as long? ?? 0) + 1);
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            var postedAt = await FirstAsync(connection, Statements.PostedAt, account, middle) as DateTime? ?? DateTime.MaxValue;
            (low, high) = postedAt < since ? (middle + 1, high) : (low, middle);
        }

        return await FirstAsync(connection, Statements.FindTransaction, account, low, transactionId.ToByteArray(bigEndian: true)) is not null;
    }

    private static async Task<object?> FirstAsync(MySqlConnection connection, string text, params object[] parameters)
    {
        using var sql = new SqlBatch(SearchTimeoutSeconds);
        sql.Add(text);
        foreach (var parameter in parameters)
        {
            sql.Bind(parameter);
        }

        await using var reader = await sql.ReadAsync(connection);
        return await reader.ReadAsync() && !reader.IsDBNull(0) ? reader.GetValue(0) : null;
    }

    private static void AddPage(SqlBatch sql, PageRequest page, string position, string time)
    {
        if (page.After is { } after)
        {
            sql.Add($"AND {position} {(page.Descending ? "<" : ">")} ? ").Bind(after);
        }

        if (page.From is { } from)
        {
            sql.Add($"AND {time} >= ? ").Bind(from);
        }

        if (page.To is { } to)
        {
            sql.Add($"AND {time} < ? ").Bind(to);
        }

        sql.Add($"ORDER BY {position} {(page.Descending ? "DESC" : "ASC")} LIMIT ?").Bind(Math.Clamp(page.Limit, 1, PageRequest.LimitMax) + 1);
    }

    private static async Task<List<object?[]>> ReadAsync(Home home, SqlBatch sql)
    {
        home.ThrowIfUnavailable();
        try
        {
            await using var connection = await home.OpenForListsAsync();
            await using var reader = await sql.ReadAsync(connection);
            var rows = new List<object?[]>();
            while (await reader.ReadAsync())
            {
                rows.Add(SqlRow.Read(reader));
            }

            return rows;
        }
        catch (MySqlException exception)
        {
            throw new HomeUnavailableException($"Home {home.Name} did not answer: {exception.Message}");
        }
    }
}
