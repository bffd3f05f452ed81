-- Runbook, When to Retrain: the baseline, which is what was recorded when production was promoted.
-- Result, at most one row, the newest promotion: model_version, figures, counts, recorded_at, trained_at,
-- reference_start and reference_end (the window of data that the version was trained on).
SELECT
  model_version,
  f1,
  precision,
  recall,
  auc_roc,
  latency_p99_seconds,
  labels,
  tp,
  fp,
  fn,
  tn,
  recorded_at,
  trained_at,
  reference_start,
  reference_end
FROM {model_metrics}
WHERE kind = 'promotion'
  AND model = ?
QUALIFY ROW_NUMBER() OVER (ORDER BY recorded_at DESC NULLS LAST, trained_at DESC NULLS LAST) = 1
