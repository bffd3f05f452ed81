-- Runbook, Prerequisites 1: are there enough new labeled samples since the last training.
-- A row counts when it came after the watermark and no later than the run's instant.
-- Result, one row: labelled INTEGER (label known), total INTEGER (all rows).
SELECT
  COUNT({label}) AS labelled,
  COUNT(*) AS total
FROM {transactions}
WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
  AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
