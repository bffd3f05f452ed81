-- Runbook, When to Retrain, drift score: the commonest values of one text feature in the reference window.
-- Binds: from, to, how many. Asked once a promotion and frozen.
-- Result, commonest first: category VARCHAR.
WITH reference AS (
  SELECT {value}
  FROM {transactions}
  WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
    AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
)
SELECT f AS category
FROM reference
WHERE f IS NOT NULL
GROUP BY f
QUALIFY ROW_NUMBER() OVER (ORDER BY COUNT(*) DESC, f) <= ?
ORDER BY COUNT(*) DESC, f
