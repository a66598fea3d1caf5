-- What replaces activities as a whole: of each account's period the newest batch, whichever source it is from, and
-- its state:
--   current   its activities count.
--   loading   the delivery that it names is not complete. It has overwritten what was there before, in part or in
--             whole, so nothing of the period counts.
--   vanished  a newer delivery has nothing of this account any more.
-- A batch is named after the run that made it, and after a slash the delivery, if it was made from one. Two of one run
-- are from a delivery that was replaced while it was read, and from the one that replaced it, which alone is complete.
CREATE OR REPLACE VIEW activity_periods AS
WITH batches AS (
    SELECT DISTINCT
        provider,
        activity_type,
        external_id,
        import_batch_id,
        split_part(import_batch_id, '/', 1) AS run,
        CASE
            WHEN import_batch_id LIKE '%/%' THEN substr(import_batch_id, strpos(import_batch_id, '/') + 1)
        END AS delivery_id,
        right(external_id, 7) AS billing_period
    FROM activities
),
complete AS (
    SELECT DISTINCT billing_period, delivery_id
    FROM deliveries
),
counting AS (
    SELECT DISTINCT billing_period, delivery_id
    FROM current_deliveries
),
judged AS (
    SELECT
        batches.*,
        CASE
            WHEN batches.delivery_id IS NULL OR counting.delivery_id IS NOT NULL THEN 'current'
            WHEN complete.delivery_id IS NULL THEN 'loading'
            ELSE 'vanished'
        END AS state
    FROM batches
    LEFT JOIN complete
        ON batches.billing_period = complete.billing_period
        AND batches.delivery_id = complete.delivery_id
    LEFT JOIN counting
        ON batches.billing_period = counting.billing_period
        AND batches.delivery_id = counting.delivery_id
),
ranked AS (
    SELECT
        judged.*,
        row_number() OVER (
            PARTITION BY provider, activity_type, external_id
            ORDER BY
                run DESC,
                CASE WHEN state = 'current' THEN 1 ELSE 0 END DESC,
                import_batch_id DESC
        ) AS place
    FROM judged
)
SELECT provider, activity_type, external_id, import_batch_id, state
FROM ranked
WHERE place = 1;

-- The activities that count: each fact once, whichever source it is from. Version 0.1.0
-- replaced all accounts of a payer together; so, of each account the newest batch counts.
CREATE OR REPLACE VIEW current_activities AS
WITH newest AS (
    SELECT
        activities.provider,
        activities.activity_type,
        split_part(activities.external_id, '/', 1) AS payer_id,
        right(activities.external_id, 7) AS billing_period,
        activities.account_id,
        max(activities.import_batch_id) AS import_batch_id
    FROM activities
    INNER JOIN activity_periods
        ON activities.provider = activity_periods.provider
        AND activities.activity_type = activity_periods.activity_type
        AND activities.external_id = activity_periods.external_id
        AND activities.import_batch_id = activity_periods.import_batch_id
    WHERE activity_periods.state = 'current'
    GROUP BY 1, 2, 3, 4, 5
)
SELECT activities.*
FROM activities
INNER JOIN newest
    ON activities.provider = newest.provider
    AND activities.activity_type = newest.activity_type
    AND split_part(activities.external_id, '/', 1) = newest.payer_id
    AND right(activities.external_id, 7) = newest.billing_period
    AND activities.account_id IS NOT DISTINCT FROM newest.account_id
    AND activities.import_batch_id = newest.import_batch_id;
