-- What silos and front doors may do in bank_system.
GRANT SELECT                         ON OrleansQuery                  TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE, DELETE ON OrleansMembershipVersionTable TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE, DELETE ON OrleansMembershipTable        TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE, DELETE ON OrleansRemindersTable         TO ${runtime_user};
