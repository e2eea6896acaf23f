-- What the run-time user may do, table by table. It cannot change or delete a posting, cannot delete an account, cannot touch the
-- schema. Runs again whenever this file changes.
GRANT SELECT                         ON home                  TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE         ON account               TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE         ON grain_state           TO ${runtime_user};
GRANT SELECT, INSERT, DELETE         ON pending_state         TO ${runtime_user};
GRANT SELECT, INSERT                 ON posting               TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE, DELETE ON transfer              TO ${runtime_user};
GRANT SELECT, INSERT, UPDATE         ON writer_mark           TO ${runtime_user};
GRANT SELECT, INSERT,         DELETE ON cancelled_transaction TO ${runtime_user};
GRANT SELECT                         ON changelog             TO ${runtime_user};
