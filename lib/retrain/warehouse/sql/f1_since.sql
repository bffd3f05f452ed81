-- Runbook, When to Retrain: how F1 stands now, from sums of counts over the windows of labelled traffic.
-- Binds: model, version, from, to. A window written twice counts once, as it was written last.
-- Result, one row: windows, windows_counted (those with counts), sums of tp, fp, fn, tn and labels over the windows
-- with counts, and f1 and labels of the newest window that has an f1.
WITH once AS (
  SELECT
    window_start,
    labels,
    tp,
    fp,
    fn,
    tn,
    f1,
    tp IS NOT NULL AND fp IS NOT NULL AND fn IS NOT NULL AS counted
  FROM {model_metrics}
  WHERE kind = 'window'
    AND model = ?
    AND model_version = ?
    AND window_end > CAST(? AS TIMESTAMP_NTZ)
    AND window_end <= CAST(? AS TIMESTAMP_NTZ)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY recorded_at DESC NULLS LAST) = 1
),
aged AS (
  SELECT
    once.*,
    ROW_NUMBER() OVER (ORDER BY IFF(f1 IS NULL, 1, 0), window_start DESC NULLS LAST) AS age
  FROM once
)
SELECT
  COUNT(*) AS windows,
  COUNT_IF(aged.counted) AS windows_counted,
  SUM(IFF(aged.counted, aged.tp, NULL)) AS tp,
  SUM(IFF(aged.counted, aged.fp, NULL)) AS fp,
  SUM(IFF(aged.counted, aged.fn, NULL)) AS fn,
  SUM(IFF(aged.counted, aged.tn, NULL)) AS tn,
  SUM(IFF(aged.counted, COALESCE(aged.labels, aged.tp + aged.fp + aged.fn + COALESCE(aged.tn, 0)), NULL)) AS labels,
  MAX(IFF(aged.age = 1, aged.f1, NULL)) AS newest_f1,
  MAX(IFF(aged.age = 1, aged.labels, NULL)) AS newest_labels
FROM aged
