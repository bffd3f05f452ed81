-- Runbook, When to Retrain: F1 over time, a point a day and version, for the picture.
-- Binds: model, from, to, the most rows to return. A window written twice counts once, as it was written last.
-- Result, in order of time: day TIMESTAMP_NTZ, model_version VARCHAR, windows, windows_counted, sums of tp, fp, fn,
-- labels, requests and slow_requests, and only_f1 (the f1 of a day that has a single window).
WITH once AS (
  SELECT
    window_start,
    model_version,
    labels,
    tp,
    fp,
    fn,
    f1,
    requests,
    slow_requests,
    tp IS NOT NULL AND fp IS NOT NULL AND fn IS NOT NULL AS counted
  FROM {model_metrics}
  WHERE kind = 'window'
    AND model = ?
    AND window_end > CAST(? AS TIMESTAMP_NTZ)
    AND window_end <= CAST(? AS TIMESTAMP_NTZ)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY model_version, window_start ORDER BY recorded_at DESC NULLS LAST) = 1
),
days AS (
  SELECT
    DATE_TRUNC('DAY', once.window_start) AS day,
    once.model_version,
    COUNT(*) AS windows,
    COUNT_IF(once.counted) AS windows_counted,
    SUM(IFF(once.counted, once.tp, NULL)) AS tp,
    SUM(IFF(once.counted, once.fp, NULL)) AS fp,
    SUM(IFF(once.counted, once.fn, NULL)) AS fn,
    SUM(once.labels) AS labels,
    SUM(once.requests) AS requests,
    SUM(once.slow_requests) AS slow_requests,
    IFF(COUNT(*) = 1, MAX(once.f1), NULL) AS only_f1
  FROM once
  GROUP BY DATE_TRUNC('DAY', once.window_start), once.model_version
)
SELECT days.*
FROM days
QUALIFY ROW_NUMBER() OVER (ORDER BY day DESC, model_version) <= ?
ORDER BY day, model_version
