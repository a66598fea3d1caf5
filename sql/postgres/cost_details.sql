-- The line items of the deliveries that count. Actual and amortized cost are both here, and where two exports cover
-- one month, both of them: choose by `metric` and `export_name`.
CREATE OR REPLACE VIEW current_cost_details AS
SELECT line_items.*
FROM cost_details AS line_items
INNER JOIN current_deliveries
    ON line_items.export_name = current_deliveries.export_name
    AND line_items.billing_period = current_deliveries.billing_period
    AND line_items.delivery_id = current_deliveries.delivery_id;
