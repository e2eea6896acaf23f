namespace Banking.Homes;

/// <summary>The SQL of the engine that does not depend on a state table. Always parameters, always explicit columns.</summary>
internal static class Statements
{
    public const string Session =
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; " +
        "SET SESSION innodb_lock_wait_timeout = 1, time_zone = '+00:00', " +
        "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";

    /// <summary>Behind <see cref="Session"/> on the money path: <see cref="EngineLimits.SessionIdleSeconds"/>.</summary>
    public const string SessionIdle = "; SET SESSION wait_timeout = 5";

    public const string Begin = "START TRANSACTION; ";

    public const string ForUpdate = " FOR UPDATE";

    public const string ForUpdateSkipLocked = " FOR UPDATE SKIP LOCKED";

    /// <summary>Its result set comes once all statements before it have succeeded.</summary>
    public const string BeforeCommit = "SELECT 1; ";

    public const string InsertPending =
        "INSERT INTO pending_state (state_key, sequence, transaction_id, transaction_time, manager, state) VALUES ";

    public const int PendingColumns = 6;

    public const string DeletePending = "DELETE FROM pending_state WHERE ";

    public const string SelectPending =
        "SELECT state_key, sequence, transaction_id, transaction_time, manager, state FROM pending_state WHERE state_key IN ";

    public const string OrderPending = " ORDER BY state_key, sequence";

    public const string PostingColumnList =
        "account, version, kind, transfer_id, amount_minor, balance_after_minor, counterparty, reference, posted_at, hash, transaction_id";

    public const string InsertPostings = $"INSERT INTO posting ({PostingColumnList}) VALUES ";

    public const int PostingColumns = 11;

    public const string TransferColumnList =
        "source, number, id, status, destination, amount_minor, currency, reference, metadata, requested_by, decided_at, " +
        "balance_after_minor, code, detail, refused_account, transaction_id";

    public const string InsertTransfers = $"INSERT INTO transfer ({TransferColumnList}) VALUES ";

    public const int TransferColumns = 16;

    public const string SelectTransfers = $"SELECT {TransferColumnList} FROM transfer WHERE id IN ";

    public const string PostTransfers = "UPDATE transfer SET status = 'posted' WHERE status = 'prepared' AND ";

    public const string CancelTransfers = "DELETE FROM transfer WHERE status = 'prepared' AND ";

    public const string Mark = "INSERT INTO writer_mark (writer, mark) VALUES (?, 1) ON DUPLICATE KEY UPDATE mark = mark + 1";

    public const string SelectPostings = $"SELECT {PostingColumnList} FROM posting WHERE account = ? ";

    public const string SelectTransfersOf = $"SELECT {TransferColumnList} FROM transfer WHERE source = ? AND number <= ? ";

    public const string FindOpening = "SELECT number FROM account WHERE opened_by = ? AND opening_key = ?";

    /// <summary>Rule 3.8: the lock waits for a write of the manager that is on its way.</summary>
    public const string LockAccount = "SELECT commit_records FROM account WHERE number = ? FOR UPDATE";

    public const string LockGrainState = "SELECT commit_records FROM grain_state WHERE state_key = ? FOR UPDATE";

    public const string SelectCancelled = "SELECT account, transaction_id FROM cancelled_transaction WHERE ";

    /// <summary>IGNORE: it may be there from an earlier attempt. It needs no right to update, unlike ON DUPLICATE KEY.</summary>
    public const string InsertCancelled =
        "INSERT IGNORE INTO cancelled_transaction (account, transaction_id, cancelled_at) VALUES (?, ?, UTC_TIMESTAMP(6))";

    public const string DeleteCancelled = "DELETE FROM cancelled_transaction WHERE account = ? AND transaction_id = ?";

    public const string DeleteOldCancelled = "DELETE FROM cancelled_transaction WHERE cancelled_at < UTC_TIMESTAMP(6) - INTERVAL 1 DAY LIMIT 100";

    public const string LastVersion = "SELECT MAX(version) FROM posting WHERE account = ?";

    public const string PostedAt = "SELECT posted_at FROM posting WHERE account = ? AND version = ?";

    public const string FindTransaction = "SELECT version FROM posting WHERE account = ? AND version >= ? AND transaction_id = ? LIMIT 1";
}
