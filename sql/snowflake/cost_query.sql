-- The newest reading of each scope, metric and month. All rows of a reading have one `retrieved_at`. Actual and
-- amortized cost are both here, and so are scopes that settings named before, which may have the same cost: choose by
-- `cost_metric` and `scope`.
CREATE OR REPLACE VIEW current_cost_query AS
WITH newest AS (
    SELECT
        scope,
        cost_metric,
        date_trunc('month', dateadd(second, date_part(epoch_second, usage_date), '1970-01-01'::DATE))::DATE AS month,
        max(retrieved_at) AS retrieved_at
    FROM cost_query
    GROUP BY 1, 2, 3
)
SELECT readings.*
FROM cost_query AS readings
INNER JOIN newest
    ON readings.scope = newest.scope
    AND readings.cost_metric = newest.cost_metric
    AND date_trunc('month', dateadd(second, date_part(epoch_second, readings.usage_date), '1970-01-01'::DATE))::DATE = newest.month
    AND readings.retrieved_at = newest.retrieved_at;
