-- Not a sentence of the runbook: which tables there are, for a clear message when one is missing.
-- Result: table_name VARCHAR.
SELECT table_name
FROM INFORMATION_SCHEMA.TABLES
WHERE UPPER(table_schema) = UPPER(CURRENT_SCHEMA())
QUALIFY ROW_NUMBER() OVER (ORDER BY table_name) <= 200
ORDER BY table_name
