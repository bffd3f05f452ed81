-- Runbook, Post-deploy monitoring: which versions had written metrics before an instant (is this one new).
-- Binds: model, the instant, the most rows to return.
-- Result: model_version VARCHAR, newest first.
SELECT model_version
FROM {model_metrics}
WHERE model = ?
  AND model_version IS NOT NULL
  AND COALESCE(window_start, recorded_at, trained_at) < CAST(? AS TIMESTAMP_NTZ)
GROUP BY model_version
QUALIFY ROW_NUMBER() OVER (
  ORDER BY MAX(COALESCE(window_start, recorded_at, trained_at)) DESC, model_version
) <= ?
ORDER BY MAX(COALESCE(window_start, recorded_at, trained_at)) DESC, model_version
