"""Questions that several tests ask, the streams they need, and first days as answers give them."""

from __future__ import annotations

from datetime import datetime

COSTS = ("cost_and_usage", "activities", "deliveries")
CARBON = ("carbon_export", "activities", "deliveries")
SEPTEMBER, OCTOBER = "2026-09", "2026-10"
FIRST_OF_SEPTEMBER, FIRST_OF_OCTOBER = datetime(2026, 9, 1), datetime(2026, 10, 1)  # noqa: DTZ001 - in UTC

LINE_ITEMS = (
    "SELECT billing_period, line_item_product_code, line_item_unblended_cost FROM current_cost_and_usage"
)
EXPORTED = "SELECT usage_account_id, product_code, total_scope_1_emissions_value FROM current_carbon_export"
USAGE = "SELECT service_code, quantity, cost FROM current_activities WHERE activity_type = 'usage'"
#: In kilograms, location based.
EMISSIONS = """
    SELECT account_id, service_code, sum(quantity) FROM current_activities
    WHERE activity_type = 'emissions' AND accounting_method <> 'market_based'
    GROUP BY account_id, service_code
"""
STATES = "SELECT external_id, state FROM activity_periods WHERE external_id LIKE '%/2026-%'"
