-- Runbook, If Retraining Fails 3: repeated failures, so an incident is created.
-- Binds: id, opened_at, severity, title, details, opened_by, id. An id that is there already is left alone.
-- Result, one row: the number of rows inserted.
INSERT INTO {incidents} (incident_id, opened_at, status, severity, title, details, opened_by)
SELECT
  CAST(? AS VARCHAR),
  CAST(? AS TIMESTAMP_NTZ),
  'open',
  CAST(? AS VARCHAR),
  CAST(? AS VARCHAR),
  CAST(? AS VARCHAR),
  CAST(? AS VARCHAR)
WHERE NOT EXISTS (SELECT 1 FROM {incidents} WHERE incident_id = ?)
