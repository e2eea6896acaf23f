-- One home of the bank: its accounts, their postings, and the transfers that they sent.
--
-- Runs the same on MySQL 8.4 to 9.7 and MariaDB 10.11 and later. Money is BIGINT minor units (cents), time is DATETIME(6) in UTC,
-- hashes are SHA-256. Rows of one account are written under a lock on its row in `account`, so no foreign keys are needed (and
-- none slow the ledger down); `verify` proves what they would.

-- Guarantees: exactly one row, so a database cannot be mistaken for another home's.
CREATE TABLE IF NOT EXISTS home (
  singleton  TINYINT     NOT NULL DEFAULT 1,
  name       VARCHAR(8)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (singleton),
  CONSTRAINT home_is_one CHECK (singleton = 1)
) ENGINE = InnoDB;

-- Guarantees: the committed state of every account, with the numbers that fence writers off.
--   version       bumped by every write; a writer that expects another one is refused
--   fence         bumped by every load; a writer from before the load is refused
--   operation_id  of the last write: tells a writer that lost its connection whether its write landed
--   sequence      Orleans' local sequence number of the committed state
--   transaction_time  ticks (100 ns since 0001-01-01) of Orleans' causal clock
--   commit_records    transactions that this account decided and that others have not all confirmed yet, as JSON; NULL for none
--   unsettled_since   when the oldest pending state or commit record began; NULL when nothing is under way
CREATE TABLE IF NOT EXISTS account (
  number                VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version               BIGINT       NOT NULL,
  fence                 BIGINT       NOT NULL,
  operation_id          BINARY(16)   NOT NULL,
  sequence              BIGINT       NOT NULL,
  transaction_time      BIGINT       NOT NULL,
  commit_records        MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  unsettled_since       DATETIME(6)  NULL,

  kind                  VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  holder                VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  currency              CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status                VARCHAR(6)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  posted_minor          BIGINT       NOT NULL,
  overdraft_limit_minor BIGINT       NOT NULL,
  posting_version       BIGINT       NOT NULL,
  head_hash             BINARY(32)   NOT NULL,
  last_posted_at        DATETIME(6)  NULL,
  entry_number          BIGINT       NOT NULL,
  settings_version      BIGINT       NOT NULL,
  opened_at             DATETIME(6)  NOT NULL,
  opened_by             VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  opening_key           VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  opening               MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  labels                MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,

  PRIMARY KEY (number),
  UNIQUE KEY account_opening (opened_by, opening_key),
  KEY account_holder (holder),
  KEY account_unsettled (unsettled_since),
  CONSTRAINT account_kind CHECK (kind IN ('customer', 'business', 'internal')),
  CONSTRAINT account_status CHECK (status IN ('open', 'closed')),
  CONSTRAINT account_versions CHECK (version >= 1 AND fence >= 0 AND sequence >= 0 AND posting_version >= 0 AND entry_number >= 0),
  CONSTRAINT account_overdraft CHECK (overdraft_limit_minor >= 0),
  CONSTRAINT account_funds CHECK (kind = 'internal' OR posted_minor >= -overdraft_limit_minor)
) ENGINE = InnoDB;

-- Guarantees: the committed state of every other transactional grain that lives in this home. Same leading columns as `account`.
CREATE TABLE IF NOT EXISTS grain_state (
  state_key        VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version          BIGINT       NOT NULL,
  fence            BIGINT       NOT NULL,
  operation_id     BINARY(16)   NOT NULL,
  sequence         BIGINT       NOT NULL,
  transaction_time BIGINT       NOT NULL,
  commit_records   MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  unsettled_since  DATETIME(6)  NULL,

  state            MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,

  PRIMARY KEY (state_key),
  KEY grain_state_unsettled (unsettled_since)
) ENGINE = InnoDB;

-- Guarantees: what a transaction would make of an account (or other state), held until the transaction's manager decides. Gone after
-- that. A gap in the sequence is legal. `manager` names the grain that decides; `state` is the whole new state as JSON.
CREATE TABLE IF NOT EXISTS pending_state (
  state_key        VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  sequence         BIGINT       NOT NULL,
  transaction_id   BINARY(16)   NOT NULL,
  transaction_time BIGINT       NOT NULL,
  manager          VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  state            MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (state_key, sequence)
) ENGINE = InnoDB;

-- Guarantees: every movement of every account, once, numbered 1..n without a gap, chained by hash; nobody but the schema's owner may
-- change or delete a row. The hash can be checked from SQL alone:
--   SHA2(CONCAT_WS('|', LOWER(HEX(<hash of version - 1, or 32 zero bytes>)), account, version, kind, transfer_id, amount_minor,
--        balance_after_minor, IFNULL(counterparty, ''), DATE_FORMAT(posted_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
--        IF(reference IS NULL, '-', CONCAT('=', reference))), 256)
CREATE TABLE IF NOT EXISTS posting (
  account             VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version             BIGINT       NOT NULL,
  kind                VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  transfer_id         VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount_minor        BIGINT       NOT NULL,
  balance_after_minor BIGINT       NOT NULL,
  counterparty        VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  reference           VARCHAR(140) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  posted_at           DATETIME(6)  NOT NULL,
  hash                BINARY(32)   NOT NULL,
  transaction_id      BINARY(16)   NOT NULL,
  PRIMARY KEY (account, version),
  CONSTRAINT posting_version CHECK (version >= 1),
  CONSTRAINT posting_amount CHECK (amount_minor <> 0)
) ENGINE = InnoDB;

-- Guarantees: one outcome for one Idempotency-Key of one source account, for ever, refusals included. `id` is made of source and key;
-- `number` counts the source's outcomes without a gap. `prepared` rows are in flight and not an outcome: they become posted or go.
CREATE TABLE IF NOT EXISTS transfer (
  source              VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  number              BIGINT       NOT NULL,
  id                  VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status              VARCHAR(9)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  destination         VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount_minor        BIGINT       NOT NULL,
  currency            CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reference           VARCHAR(140) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  metadata            MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  requested_by        VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  decided_at          DATETIME(6)  NOT NULL,
  balance_after_minor BIGINT       NULL,
  code                VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  detail              VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  refused_account     VARCHAR(34)  CHARACTER SET ascii COLLATE ascii_bin NULL,
  transaction_id      BINARY(16)   NOT NULL,
  PRIMARY KEY (source, number),
  UNIQUE KEY transfer_id (id),
  CONSTRAINT transfer_status CHECK (status IN ('prepared', 'posted', 'refused', 'abandoned')),
  CONSTRAINT transfer_amount CHECK (amount_minor > 0),
  CONSTRAINT transfer_outcome CHECK ((status IN ('refused', 'abandoned')) = (code IS NOT NULL)),
  CONSTRAINT transfer_balance CHECK ((status IN ('prepared', 'posted')) = (balance_after_minor IS NOT NULL))
) ENGINE = InnoDB;

-- Guarantees nothing about money: a writer that found its lost commit in the tables writes here, and answers only once this later
-- commit is durable, since on one server that makes the earlier one durable too.
CREATE TABLE IF NOT EXISTS writer_mark (
  writer VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  mark   BIGINT      NOT NULL,
  PRIMARY KEY (writer)
) ENGINE = InnoDB;
