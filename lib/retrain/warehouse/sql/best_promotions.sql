-- Runbook, Evaluation Gate: the best figures that any promoted version had, so that small losses do not add up unseen.
-- Binds: model, the run's instant. A figure outside 0 to 1, or not a number, is none; of equals the earliest counts.
-- Result, one row: promotions INTEGER, then f1, f1_version, f1_at and auc_roc, auc_roc_version, auc_roc_at.
WITH promoted AS (
  SELECT
    model_version,
    recorded_at,
    IFF(f1 >= 0 AND f1 <= 1, f1, NULL) AS f1,
    IFF(auc_roc >= 0 AND auc_roc <= 1, auc_roc, NULL) AS auc_roc
  FROM {model_metrics}
  WHERE kind = 'promotion'
    AND model = ?
    AND (recorded_at <= CAST(? AS TIMESTAMP_NTZ) OR recorded_at IS NULL)
),
ranked AS (
  SELECT
    promoted.*,
    ROW_NUMBER() OVER (ORDER BY f1 DESC NULLS LAST, recorded_at NULLS LAST, model_version) AS f1_place,
    ROW_NUMBER() OVER (ORDER BY auc_roc DESC NULLS LAST, recorded_at NULLS LAST, model_version) AS auc_roc_place
  FROM promoted
)
SELECT
  COUNT(*) AS promotions,
  MAX(IFF(f1_place = 1, f1, NULL)) AS f1,
  MAX(IFF(f1_place = 1 AND f1 IS NOT NULL, model_version, NULL)) AS f1_version,
  MAX(IFF(f1_place = 1 AND f1 IS NOT NULL, recorded_at, NULL)) AS f1_at,
  MAX(IFF(auc_roc_place = 1, auc_roc, NULL)) AS auc_roc,
  MAX(IFF(auc_roc_place = 1 AND auc_roc IS NOT NULL, model_version, NULL)) AS auc_roc_version,
  MAX(IFF(auc_roc_place = 1 AND auc_roc IS NOT NULL, recorded_at, NULL)) AS auc_roc_at
FROM ranked
