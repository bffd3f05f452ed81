-- Runbook, Post-deploy monitoring: MODEL_METRICS, window by window, since the swap.
-- Binds: model, from, to, the most rows to return. A window written twice counts once, as it was written last.
-- Result, in order of time: window_start, window_end, model_version, tp, fp, fn, tn, f1, requests, slow_requests,
-- latency_p99_seconds, recorded_at. Windows that end after the first instant are in, also those that began before it.
WITH once AS (
  SELECT
    window_start,
    window_end,
    model_version,
    tp,
    fp,
    fn,
    tn,
    f1,
    requests,
    slow_requests,
    latency_p99_seconds,
    recorded_at
  FROM {model_metrics}
  WHERE kind = 'window'
    AND model = ?
    AND window_end > CAST(? AS TIMESTAMP_NTZ)
    AND window_end <= CAST(? AS TIMESTAMP_NTZ)
    AND window_start IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY model_version, window_start ORDER BY recorded_at DESC NULLS LAST) = 1
)
SELECT once.*
FROM once
QUALIFY ROW_NUMBER() OVER (ORDER BY window_start DESC, model_version) <= ?
ORDER BY window_start, model_version
