-- Related runbook, Data Quality: what failed, when, and which checks.
-- Binds: from, to, the statuses that are fine (JSON list), the most rows to return.
-- Result, newest first: run_id VARCHAR, checked_at TIMESTAMP_NTZ, check_name VARCHAR, status VARCHAR, details VARCHAR.
SELECT
  run_id,
  timestamp AS checked_at,
  check_name,
  status,
  details
FROM {data_quality}
WHERE timestamp >= CAST(? AS TIMESTAMP_NTZ)
  AND timestamp <= CAST(? AS TIMESTAMP_NTZ)
  AND COALESCE(status, '') NOT IN (
    SELECT CAST(fine.value AS VARCHAR) FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS fine
  )
QUALIFY ROW_NUMBER() OVER (ORDER BY timestamp DESC NULLS LAST, run_id, check_name) <= ?
ORDER BY checked_at DESC NULLS LAST, run_id, check_name
