-- The newest reading of each subscription, month and scope. All rows of a reading have one `retrieved_at`, so what
-- vanished from a restated month is not here, nor what another `carbon_category` left behind.
CREATE OR REPLACE VIEW current_carbon_emissions AS
WITH newest AS (
    SELECT
        period_start,
        subscription_id,
        carbon_scope,
        max(retrieved_at) AS retrieved_at
    FROM carbon_emissions
    GROUP BY 1, 2, 3
)
SELECT readings.*
FROM carbon_emissions AS readings
INNER JOIN newest
    ON readings.period_start = newest.period_start
    AND readings.subscription_id = newest.subscription_id
    AND readings.carbon_scope = newest.carbon_scope
    AND readings.retrieved_at = newest.retrieved_at;
