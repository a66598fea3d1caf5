-- The newest reading of each subscription and month, of all scopes together. All rows of a reading have one
-- `retrieved_at`, so what vanished from a restated month is not here, nor a scope that has no emissions any more, nor
-- what another `carbon_category` left behind.
CREATE OR REPLACE VIEW current_carbon_emissions AS
WITH newest AS (
    SELECT
        period_start,
        subscription_id,
        max(retrieved_at) AS retrieved_at
    FROM carbon_emissions
    GROUP BY 1, 2
)
SELECT readings.*
FROM carbon_emissions AS readings
INNER JOIN newest
    ON readings.period_start = newest.period_start
    AND readings.subscription_id = newest.subscription_id
    AND readings.retrieved_at = newest.retrieved_at;
