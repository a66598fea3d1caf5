-- The newest reading of each account and month. All rows of a reading have one `retrieved_at`, so what vanished from a
-- restated month is not here.
CREATE OR REPLACE VIEW offgridflow.current_carbon_emissions AS
WITH newest AS (
    SELECT period_start, account_id, max(retrieved_at) AS retrieved_at
    FROM offgridflow.carbon_emissions AS carbon_emissions
    GROUP BY period_start, account_id
)
SELECT readings.*
FROM offgridflow.carbon_emissions AS readings
INNER JOIN newest
    ON readings.period_start = newest.period_start
    AND readings.account_id = newest.account_id
    AND readings.retrieved_at = newest.retrieved_at;
