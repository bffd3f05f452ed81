-- Runbook, Prerequisites 2: how the data-quality runs of the last day ended.
-- The day ends at the run's own instant, so that the same question has the same answer later.
-- Result, one row a status, at most 200: status VARCHAR (NULL stays NULL), runs INTEGER.
SELECT
  status,
  COUNT(*) AS runs
FROM {data_quality}
WHERE timestamp >= CAST(? AS TIMESTAMP_NTZ)
  AND timestamp <= CAST(? AS TIMESTAMP_NTZ)
GROUP BY status
QUALIFY ROW_NUMBER() OVER (ORDER BY status) <= 200
ORDER BY status
