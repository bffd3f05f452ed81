-- Beside the runbook, for its record: the table that keeps the newest entry of each record, made once.
-- Result: nothing that is read.
CREATE TABLE IF NOT EXISTS {heads} (
  model VARCHAR,
  record VARCHAR,
  number INTEGER,
  sha256 VARCHAR,
  pushed_at TIMESTAMP_NTZ
)
