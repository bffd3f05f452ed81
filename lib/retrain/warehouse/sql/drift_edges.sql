-- Runbook, When to Retrain, drift score: the deciles of one numeric feature in the reference window, exactly.
-- Missing, NaN and infinite values take no part. Asked once a promotion and frozen.
-- Result, one row: e0 (the smallest value), e1 to e9 (deciles), e10 (the largest), FLOAT; NULL without values.
WITH reference AS (
  SELECT {value}
  FROM {transactions}
  WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
    AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
)
SELECT
  MIN(f) AS e0,
  PERCENTILE_CONT(0.1) WITHIN GROUP (ORDER BY f) AS e1,
  PERCENTILE_CONT(0.2) WITHIN GROUP (ORDER BY f) AS e2,
  PERCENTILE_CONT(0.3) WITHIN GROUP (ORDER BY f) AS e3,
  PERCENTILE_CONT(0.4) WITHIN GROUP (ORDER BY f) AS e4,
  PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY f) AS e5,
  PERCENTILE_CONT(0.6) WITHIN GROUP (ORDER BY f) AS e6,
  PERCENTILE_CONT(0.7) WITHIN GROUP (ORDER BY f) AS e7,
  PERCENTILE_CONT(0.8) WITHIN GROUP (ORDER BY f) AS e8,
  PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY f) AS e9,
  MAX(f) AS e10
FROM reference
WHERE ABS(f) < CAST('inf' AS FLOAT)
