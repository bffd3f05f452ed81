-- Runbook, If Retraining Fails 3: does the incident of this run exist already.
-- Result, at most one row: incident_id VARCHAR, severity VARCHAR, title VARCHAR, opened_at TIMESTAMP_NTZ.
SELECT
  incident_id,
  severity,
  title,
  opened_at
FROM {incidents}
WHERE incident_id = ?
QUALIFY ROW_NUMBER() OVER (ORDER BY opened_at NULLS LAST) = 1
