-- Related runbook, Model Drift: the histograms of all features, week by week, in one scan.
-- Weeks are seven days counted back from the last instant; week 0 is the newest.
-- Binds: an edge or a category for each count in order, then the last instant, from, to, the most weeks to return.
-- Result, one row a week, newest first: week INTEGER, then as in drift_counts.
SELECT
  week,
  COUNT(*) AS total,
  {counts}
FROM (
  SELECT
    FLOOR(DATEDIFF('SECOND', {ingestion_timestamp}, CAST(? AS TIMESTAMP_NTZ)) / 604800) AS week,
    {values}
  FROM {transactions}
  WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
    AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
) AS windowed
GROUP BY week
QUALIFY ROW_NUMBER() OVER (ORDER BY week) <= ?
ORDER BY week
