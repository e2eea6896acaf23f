-- bank_system: what belongs to no home. Here: which silos form the cluster, and reminders, for Orleans' AdoNet providers.
--
-- The providers read their statements from OrleansQuery by key and bind parameters by name; keys, parameters and result columns
-- are theirs, tables and statements are ours. Statements that write two tables do so in one transaction or not at all.

CREATE TABLE IF NOT EXISTS OrleansQuery (
  QueryKey  VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  QueryText VARCHAR(8000) NOT NULL,
  PRIMARY KEY (QueryKey)
) ENGINE = InnoDB;

-- Guarantees: one version per cluster; a writer that expects another version changes nothing.
CREATE TABLE IF NOT EXISTS OrleansMembershipVersionTable (
  DeploymentId VARCHAR(150) NOT NULL,
  Version      INT          NOT NULL DEFAULT 0,
  UpdatedAt    DATETIME(3)  NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  PRIMARY KEY (DeploymentId)
) ENGINE = InnoDB;

-- Guarantees: one row per silo process.
CREATE TABLE IF NOT EXISTS OrleansMembershipTable (
  DeploymentId VARCHAR(150)  NOT NULL,
  Address      VARCHAR(45)   NOT NULL,
  Port         INT           NOT NULL,
  Generation   INT           NOT NULL,
  SiloName     VARCHAR(150)  NOT NULL,
  HostName     VARCHAR(150)  NOT NULL,
  Status       INT           NOT NULL,
  ProxyPort    INT           NULL,
  SuspectTimes VARCHAR(8000) NULL,
  StartTime    DATETIME(3)   NOT NULL,
  IAmAliveTime DATETIME(3)   NOT NULL,
  PRIMARY KEY (DeploymentId, Address, Port, Generation)
) ENGINE = InnoDB;

-- Guarantees: one row per grain and reminder.
CREATE TABLE IF NOT EXISTS OrleansRemindersTable (
  ServiceId    VARCHAR(150) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  GrainId      VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  ReminderName VARCHAR(150) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  StartTime    DATETIME(3)  NOT NULL,
  Period       BIGINT       NOT NULL,
  GrainHash    INT          NOT NULL,
  Version      INT          NOT NULL,
  PRIMARY KEY (ServiceId, GrainId, ReminderName),
  KEY reminders_by_hash (ServiceId, GrainHash)
) ENGINE = InnoDB;

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES
('InsertMembershipVersionKey', '
  INSERT IGNORE INTO OrleansMembershipVersionTable (DeploymentId) VALUES (@DeploymentId);
  SELECT ROW_COUNT();'),
('InsertMembershipKey', '
  START TRANSACTION;
  UPDATE OrleansMembershipVersionTable SET Version = Version + 1
   WHERE DeploymentId = @DeploymentId AND Version = @Version
     AND NOT EXISTS (SELECT 1 FROM OrleansMembershipTable
                      WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation);
  INSERT INTO OrleansMembershipTable
         (DeploymentId, Address, Port, Generation, SiloName, HostName, Status, ProxyPort, StartTime, IAmAliveTime)
  SELECT @DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime
    FROM DUAL WHERE ROW_COUNT() > 0;
  SELECT ROW_COUNT();
  COMMIT;'),
('UpdateMembershipKey', '
  START TRANSACTION;
  UPDATE OrleansMembershipVersionTable SET Version = Version + 1
   WHERE DeploymentId = @DeploymentId AND Version = @Version
     AND EXISTS (SELECT 1 FROM OrleansMembershipTable
                  WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation);
  UPDATE OrleansMembershipTable SET Status = @Status, SuspectTimes = @SuspectTimes, IAmAliveTime = @IAmAliveTime
   WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation AND ROW_COUNT() > 0;
  SELECT ROW_COUNT();
  COMMIT;'),
('UpdateIAmAlivetimeKey', '
  UPDATE OrleansMembershipTable SET IAmAliveTime = @IAmAliveTime
   WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation;'),
('GatewaysQueryKey', '
  SELECT Address, ProxyPort, Generation FROM OrleansMembershipTable
   WHERE DeploymentId = @DeploymentId AND Status = @Status AND ProxyPort > 0;'),
('MembershipReadRowKey', '
  SELECT v.DeploymentId, m.Address, m.Port, m.Generation, m.SiloName, m.HostName, m.Status, m.ProxyPort, m.SuspectTimes,
         m.StartTime, m.IAmAliveTime, v.Version
    FROM OrleansMembershipVersionTable v
    LEFT JOIN OrleansMembershipTable m
      ON m.DeploymentId = v.DeploymentId AND m.Address = @Address AND m.Port = @Port AND m.Generation = @Generation
   WHERE v.DeploymentId = @DeploymentId;'),
('MembershipReadAllKey', '
  SELECT v.DeploymentId, m.Address, m.Port, m.Generation, m.SiloName, m.HostName, m.Status, m.ProxyPort, m.SuspectTimes,
         m.StartTime, m.IAmAliveTime, v.Version
    FROM OrleansMembershipVersionTable v
    LEFT JOIN OrleansMembershipTable m ON m.DeploymentId = v.DeploymentId
   WHERE v.DeploymentId = @DeploymentId;'),
('DeleteMembershipTableEntriesKey', '
  START TRANSACTION;
  DELETE FROM OrleansMembershipTable WHERE DeploymentId = @DeploymentId;
  DELETE FROM OrleansMembershipVersionTable WHERE DeploymentId = @DeploymentId;
  COMMIT;'),
-- 3 is Active: a silo that is up is never cleaned away, however late its sign of life.
('CleanupDefunctSiloEntriesKey', '
  DELETE FROM OrleansMembershipTable
   WHERE DeploymentId = @DeploymentId AND IAmAliveTime < @IAmAliveTime AND Status <> 3;'),
('UpsertReminderRowKey', '
  INSERT INTO OrleansRemindersTable (ServiceId, GrainId, ReminderName, StartTime, Period, GrainHash, Version)
  VALUES (@ServiceId, @GrainId, @ReminderName, @StartTime, @Period, @GrainHash, LAST_INSERT_ID(0))
  ON DUPLICATE KEY UPDATE StartTime = VALUES(StartTime), Period = VALUES(Period), GrainHash = VALUES(GrainHash),
                          Version = LAST_INSERT_ID(Version + 1);
  SELECT LAST_INSERT_ID() AS Version;'),
('ReadReminderRowsKey', '
  SELECT GrainId, ReminderName, StartTime, Period, Version FROM OrleansRemindersTable
   WHERE ServiceId = @ServiceId AND GrainId = @GrainId;'),
('ReadReminderRowKey', '
  SELECT GrainId, ReminderName, StartTime, Period, Version FROM OrleansRemindersTable
   WHERE ServiceId = @ServiceId AND GrainId = @GrainId AND ReminderName = @ReminderName;'),
-- The hash ring: a range that does not wrap, and one that does.
('ReadRangeRows1Key', '
  SELECT GrainId, ReminderName, StartTime, Period, Version FROM OrleansRemindersTable
   WHERE ServiceId = @ServiceId AND GrainHash > @BeginHash AND GrainHash <= @EndHash;'),
('ReadRangeRows2Key', '
  SELECT GrainId, ReminderName, StartTime, Period, Version FROM OrleansRemindersTable
   WHERE ServiceId = @ServiceId AND (GrainHash > @BeginHash OR GrainHash <= @EndHash);'),
('DeleteReminderRowKey', '
  DELETE FROM OrleansRemindersTable
   WHERE ServiceId = @ServiceId AND GrainId = @GrainId AND ReminderName = @ReminderName AND Version = @Version;
  SELECT ROW_COUNT();'),
('DeleteReminderRowsKey', '
  DELETE FROM OrleansRemindersTable WHERE ServiceId = @ServiceId;')
ON DUPLICATE KEY UPDATE QueryText = VALUES(QueryText);
