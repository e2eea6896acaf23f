using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// Rule 3.8: a prepared state is cancelled only once its transaction can never commit at the manager, whatever became of the
/// manager's activation. The row of <c>cancelled_transaction</c> is that promise.
/// </summary>
/// <remarks>
/// Phases, three round trips and a search: lock the manager's row and read its commit records; none has the id = insert the
/// row and commit; then search the postings, for a record is collected once everybody has confirmed.
/// Proof. A manager decides by the write that brings a commit record which the row did not have; <see cref="HomeWriter"/> looks for
/// the cancelled transaction after it has locked the manager's row, and refuses. Row locks put that write either before our lock,
/// then it is committed and our reads see its record or its posting; or behind our commit, then it finds our row. So only the
/// reading of the records and the insert must be under the lock: once we have committed nothing can be added to what the search
/// looks for. A manager without a row has decided nothing, and cannot: its first write makes the row and decides nothing
/// (<see cref="StateStorage{TState}"/>).
/// </remarks>
internal static class CancelledTransactions
{
    /// <summary>Clocks of silos may differ by this much when a manager's postings are searched by time.</summary>
    private static readonly TimeSpan ClockSkewMax = TimeSpan.FromMinutes(10);

    /// <summary>Ten minutes of the hottest account are about two million rows, which a server scans in about a second.</summary>
    private const int SearchTimeoutSeconds = 10;

    /// <summary>Who writes to <c>writer_mark</c> here.</summary>
    private const string MarkName = "cancelled-transactions";

    /// <summary>
    /// True: the transaction will never commit at its manager. False: it has, and that is durable. Throws when it cannot be
    /// told; then the caller must not cancel.
    /// </summary>
    public static async Task<bool> TryAddAsync(Home home, ManagerReference manager, Guid transactionId, DateTime since)
    {
        home.ThrowIfUnavailable();
        try
        {
            await using var connection = await home.OpenAsync(default);
            var id = transactionId.ToByteArray(bigEndian: true);
            var isCommitted = await LockAndFindRecordAsync(connection, manager, transactionId);
            using (var sql = new SqlBatch())
            {
                if (isCommitted)
                {
                    // A commit can be seen before it is durable; a later one of ours on that server makes it so.
                    sql.Add(Statements.Mark).Bind(MarkName).End();
                }
                else
                {
                    sql.Add(Statements.InsertCancelled).Bind(manager.StateKey).Bind(id).End();
                }

                // One comes, up to a hundred old ones go: the table keeps itself small.
                await sql.Add("COMMIT").End().Add(Statements.DeleteOldCancelled).ExecuteAsync(connection);
            }

            if (!isCommitted && await HasPostedAsync(connection, manager.GrainKey, id, since - ClockSkewMax))
            {
                isCommitted = true;
                using var sql = new SqlBatch();
                await sql.Add(Statements.DeleteCancelled).Bind(manager.StateKey).Bind(id).ExecuteAsync(connection);
            }

            return !isCommitted;
        }
        catch (MySqlException exception)
        {
            throw new HomeUnavailableException(MaskedText.Of($"Home {home.Name} could not tell whether {manager.GrainKey} committed {transactionId}: {exception.Message}"));
        }
    }

    private static async Task<bool> LockAndFindRecordAsync(MySqlConnection connection, ManagerReference manager, Guid transactionId)
    {
        using var sql = new SqlBatch();
        sql.Add(Statements.Begin).Add(manager.IsAccount ? Statements.LockAccount : Statements.LockGrainState).Bind(manager.StateKey);
        await using var reader = await sql.ReadAsync(connection);
        return await reader.ReadAsync() && !reader.IsDBNull(0) &&
            StoredMetadata.Read(0, reader.GetString(0)).Commits.Any(commit => commit.Id == transactionId);
    }

    /// <summary>
    /// Searches the postings since an instant. Their times never go back, so the first one is found by halving: about thirty
    /// reads by primary key whatever the account's age, then one range scan on the server.
    /// </summary>
    private static async Task<bool> HasPostedAsync(MySqlConnection connection, string account, byte[] transactionId, DateTime since)
    {
        var (low, high) = (1L, (await FirstAsync(connection, Statements.LastVersion, account) as long? ?? 0) + 1);
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            var postedAt = await FirstAsync(connection, Statements.PostedAt, account, middle) as DateTime? ?? DateTime.MaxValue;
            (low, high) = postedAt < since ? (middle + 1, high) : (low, middle);
        }

        return await FirstAsync(connection, Statements.FindTransaction, account, low, transactionId) is not null;
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
}
