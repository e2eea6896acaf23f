using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// The lists and rare look-ups over a home's ledger. Their failures do not open the home's circuit: a slow list or an
/// exhausted pool says nothing about the money path, which has connections and a probe of its own.
/// </summary>
internal static class LedgerQueries
{
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
