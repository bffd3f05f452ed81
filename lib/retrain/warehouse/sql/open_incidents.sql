-- Runbook, Prerequisites 3: is an incident of a blocking severity open.
-- Binds: the severities (JSON list, upper case), the most rows to return. Spelling in another case counts as well.
-- An open incident without a severity comes too: nobody knows that it does not block.
-- Result, oldest first: incident_id VARCHAR, severity VARCHAR, title VARCHAR, opened_at TIMESTAMP_NTZ.
SELECT
  incident_id,
  severity,
  title,
  opened_at
FROM {incidents}
WHERE LOWER(TRIM(status)) = 'open'
  AND (
    COALESCE(TRIM(severity), '') = ''
    OR UPPER(TRIM(severity)) IN (
      SELECT CAST(blocking.value AS VARCHAR) FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS blocking
    )
  )
QUALIFY ROW_NUMBER() OVER (ORDER BY opened_at NULLS FIRST, incident_id) <= ?
ORDER BY opened_at NULLS FIRST, incident_id
