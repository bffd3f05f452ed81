-- Beside the runbook, for its record: the newest entry that is kept of a record.
-- Binds: model, record.
-- Result, at most one row: number INTEGER, sha256 VARCHAR.
SELECT
  number,
  sha256
FROM {heads}
WHERE model = ? AND record = ?
QUALIFY ROW_NUMBER() OVER (ORDER BY number DESC, pushed_at DESC) = 1
