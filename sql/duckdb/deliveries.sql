-- The delivery that counts of each export and billing period. A row is in `deliveries` only when all rows of the
-- delivery are loaded. Carbon exports are delivered once per version of the provider's model, and of each month the
-- newest version counts: compared number by number, so that v3.0.10 follows v3.0.9 and a release its pre-releases.
CREATE OR REPLACE VIEW current_deliveries AS
WITH given AS (
    SELECT
        export_name,
        billing_period,
        delivery_id,
        delivered_at,
        ltrim(coalesce(model_version, ''), 'vV') AS version
    FROM deliveries
),
parts AS (
    SELECT given.*, split_part(version, '-', 1) AS core
    FROM given
),
ranked AS (
    SELECT
        export_name,
        billing_period,
        delivery_id,
        row_number() OVER (
            PARTITION BY export_name, billing_period
            ORDER BY
                coalesce(try_cast(split_part(core, '.', 1) AS BIGINT), 0) DESC,
                coalesce(try_cast(split_part(core, '.', 2) AS BIGINT), 0) DESC,
                coalesce(try_cast(split_part(core, '.', 3) AS BIGINT), 0) DESC,
                CASE WHEN version = core THEN 1 ELSE 0 END DESC,
                version DESC,
                delivered_at DESC,
                delivery_id DESC
        ) AS place
    FROM parts
)
SELECT deliveries.*
FROM deliveries
INNER JOIN ranked
    ON deliveries.export_name = ranked.export_name
    AND deliveries.billing_period = ranked.billing_period
    AND deliveries.delivery_id = ranked.delivery_id
WHERE ranked.place = 1;
