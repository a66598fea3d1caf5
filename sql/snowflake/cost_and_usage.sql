-- The line items of the deliveries that count. Where two exports cover one month, both are here: choose by
-- `export_name`.
CREATE OR REPLACE VIEW current_cost_and_usage AS
SELECT line_items.*
FROM cost_and_usage AS line_items
INNER JOIN current_deliveries
    ON line_items.export_name = current_deliveries.export_name
    AND line_items.billing_period = current_deliveries.billing_period
    AND line_items.delivery_id = current_deliveries.delivery_id;
