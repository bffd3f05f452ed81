-- Runbook, If Retraining Fails 2: are the classes out of balance.
-- Result, one row a class, at most 200: class, samples INTEGER. Rows whose label is not known yet are left out.
SELECT
  {label} AS class,
  COUNT(*) AS samples
FROM {transactions}
WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
  AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
  AND {label} IS NOT NULL
GROUP BY {label}
QUALIFY ROW_NUMBER() OVER (ORDER BY COUNT(*) DESC, {label}) <= 200
ORDER BY {label}
