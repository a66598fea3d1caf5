-- The newest delivery of each period of each export. A delivery is listed only when all its rows are there.
CREATE OR REPLACE VIEW aws.current_deliveries AS
SELECT *
FROM aws.deliveries
QUALIFY row_number() OVER (
    PARTITION BY export_name, billing_period, model_version ORDER BY delivered_at DESC, delivery_id DESC
) = 1;

-- The line items that count: a restated month appears with its newest delivery only.
CREATE OR REPLACE VIEW aws.current_cost_and_usage AS
SELECT line_item.*
FROM aws.cost_and_usage AS line_item
SEMI JOIN aws.current_deliveries AS delivery USING (export_name, billing_period, delivery_id);

-- The activities that count: what a newer batch of the same source and period no longer holds is left out.
CREATE OR REPLACE VIEW aws.current_activities AS
SELECT *
FROM aws.activities
QUALIFY import_batch_id = max(import_batch_id) OVER (PARTITION BY source, external_id);

-- Emissions in kgCO2e. Each method has rows of its own, and rows that both share.
CREATE OR REPLACE VIEW aws.emissions_by_month_and_service AS
SELECT
    strftime(period_start, '%Y-%m') AS month,
    service_code,
    sum(quantity) FILTER (accounting_method IN ('location_based', 'both')) AS location_based,
    sum(quantity) FILTER (accounting_method IN ('market_based', 'both')) AS market_based
FROM aws.current_activities
WHERE activity_type = 'emissions'
GROUP BY ALL;

CREATE OR REPLACE VIEW aws.cost_by_month AS
SELECT
    billing_period AS month,
    count(*) AS line_items,
    sum(line_item_unblended_cost) AS unblended_cost,
    line_item_currency_code AS currency
FROM aws.current_cost_and_usage
GROUP BY ALL;
