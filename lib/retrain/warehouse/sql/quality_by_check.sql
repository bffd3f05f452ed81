-- Related runbook, Data Quality: how often each check ended in each status.
-- Binds: from, to, the most rows to return.
-- Result: check_name VARCHAR, status VARCHAR, runs INTEGER, first_at TIMESTAMP_NTZ, last_at TIMESTAMP_NTZ.
SELECT
  check_name,
  status,
  COUNT(*) AS runs,
  MIN(timestamp) AS first_at,
  MAX(timestamp) AS last_at
FROM {data_quality}
WHERE timestamp >= CAST(? AS TIMESTAMP_NTZ)
  AND timestamp <= CAST(? AS TIMESTAMP_NTZ)
GROUP BY check_name, status
QUALIFY ROW_NUMBER() OVER (ORDER BY check_name, status) <= ?
ORDER BY check_name, status
