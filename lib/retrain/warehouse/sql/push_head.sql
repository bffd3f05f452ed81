-- Beside the runbook, for its record: keep a record's newest entry, unless the same or a later one is kept already.
-- Binds: model, record, number, sha256, pushed_at; model, record, number.
-- Result, one row: the number of rows inserted.
INSERT INTO {heads} (model, record, number, sha256, pushed_at)
SELECT
  CAST(? AS VARCHAR),
  CAST(? AS VARCHAR),
  CAST(? AS INTEGER),
  CAST(? AS VARCHAR),
  CAST(? AS TIMESTAMP_NTZ)
WHERE NOT EXISTS (SELECT 1 FROM {heads} WHERE model = ? AND record = ? AND number >= ?)
