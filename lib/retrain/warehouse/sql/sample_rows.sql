-- Runbook, Smoke tests: recent rows to send as sample predictions. The same window and seed draw the same rows.
-- Binds: from, to, seed, how many. The order is a hash of the transaction, so neither time nor place is favoured.
-- Result: one column a feature, in the order asked for, and nothing else.
SELECT
  {features}
FROM {transactions}
WHERE {ingestion_timestamp} > CAST(? AS TIMESTAMP_NTZ)
  AND {ingestion_timestamp} <= CAST(? AS TIMESTAMP_NTZ)
QUALIFY ROW_NUMBER() OVER (
  ORDER BY MD5(CAST({transaction_id} AS VARCHAR) || ':' || CAST(? AS VARCHAR)), {transaction_id}
) <= ?
ORDER BY MD5(CAST({transaction_id} AS VARCHAR)), {transaction_id}
