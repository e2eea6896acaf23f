-- Guarantees: a transaction that was given up at the home of its manager never commits there. Whoever cancels a prepared state writes
-- this row first, under the lock of the manager's row; the manager refuses to decide for a commit that has one. `account` is the key of
-- the manager's row in `account` or `grain_state`. Rows are of no use once no write from that time can arrive; they are kept for a day.
CREATE TABLE IF NOT EXISTS cancelled_transaction (
  account        VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  transaction_id BINARY(16)   NOT NULL,
  cancelled_at   DATETIME(6)  NOT NULL,
  PRIMARY KEY (account, transaction_id),
  KEY cancelled_transaction_age (cancelled_at)
) ENGINE = InnoDB;
