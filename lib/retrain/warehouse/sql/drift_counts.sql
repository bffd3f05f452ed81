-- Runbook, When to Retrain, drift score: the histograms of all features over frozen edges, in one scan.
-- Binds: an edge or a category for each count in order, then from and to.
-- Result, one row: total (all rows), and for each feature known (rows with a value) and its counts. Counts of a
-- numeric feature are cumulative (below the edge), those of a text feature are one a category.
SELECT
  COUNT(*) AS total,
  {counts}
FROM (
  SELECT
    {values}
  FROM {transactions}
  WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
    AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
) AS windowed
