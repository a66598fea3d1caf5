-- The newest reading of each billing account and month. All rows of a reading have one `retrieved_at`.
CREATE OR REPLACE VIEW current_emissions_impact AS
WITH newest AS (
    SELECT
        enrollment_id,
        period_start,
        max(retrieved_at) AS retrieved_at
    FROM emissions_impact
    GROUP BY 1, 2
)
SELECT readings.*
FROM emissions_impact AS readings
INNER JOIN newest
    ON readings.enrollment_id = newest.enrollment_id
    AND readings.period_start = newest.period_start
    AND readings.retrieved_at = newest.retrieved_at;
