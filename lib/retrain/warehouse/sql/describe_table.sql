-- Not a sentence of the runbook: which columns a table has, for the features and for clear messages.
-- Result, one row a column: name VARCHAR, type VARCHAR, and more.
DESCRIBE TABLE {table}
