-- The newest reading of each account and year. All rows of a reading have one `retrieved_at`, so what vanished from a
-- restated year is not here.
CREATE OR REPLACE VIEW offgridflow.current_water_allocation AS
WITH newest AS (
    SELECT period_start, account_id, max(retrieved_at) AS retrieved_at
    FROM offgridflow.water_allocation AS water_allocation
    GROUP BY period_start, account_id
)
SELECT readings.*
FROM offgridflow.water_allocation AS readings
INNER JOIN newest
    ON readings.period_start = newest.period_start
    AND readings.account_id = newest.account_id
    AND readings.retrieved_at = newest.retrieved_at;
