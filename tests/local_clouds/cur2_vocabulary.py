"""The words of a made-up CUR 2.0 bill: kinds of line items, regions, blanks, and a catalog of services."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
RESERVATION_BLANKS = (
    "reservation_normalized_units_per_reservation",
    "reservation_number_of_reservations",
    "reservation_total_reserved_normalized_units",
    "reservation_total_reserved_units",
    "reservation_units_per_reservation",
)
# The doubles that hold 0.0 where a line does not use them; all others of the kind are null.
ZEROS = (
    "discount_bundled_discount",
    "discount_total_discount",
    "line_item_normalization_factor",
    "reservation_amortized_upfront_cost_for_usage",
    "reservation_amortized_upfront_fee_for_billing_period",
    "reservation_effective_cost",
    "reservation_recurring_fee_for_usage",
    "reservation_unused_amortized_upfront_fee_for_billing_period",
    "reservation_unused_normalized_unit_quantity",
    "reservation_unused_quantity",
    "reservation_unused_recurring_fee",
    "reservation_upfront_value",
    "savings_plan_amortized_upfront_commitment_for_billing_period",
    "savings_plan_recurring_commitment_for_billing_period",
    "savings_plan_savings_plan_effective_cost",
    "savings_plan_savings_plan_rate",
    "savings_plan_total_commitment_to_date",
    "savings_plan_used_commitment",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A line item type: its share of all lines, and the factor on amount x rate of each cost column."""

    name: str
    share: float
    costs: dict[str, float]
    only: tuple[str, ...] = ()


_PLAIN = {
    "line_item_unblended_cost": 1.0,
    "line_item_blended_cost": 1.0,
    "pricing_public_on_demand_cost": 1.0,
}
_FREE = {"line_item_unblended_cost": 0.0, "line_item_blended_cost": 0.0, "pricing_public_on_demand_cost": 1.0}
_MINUS = {
    "line_item_unblended_cost": -1.0,
    "line_item_blended_cost": -1.0,
    "pricing_public_on_demand_cost": 0.0,
}
COMPUTE = ("Compute Instance", "Compute", "Serverless")
USAGE = Kind("Usage", 0.78, _PLAIN)
FREE_TIER = Kind("Usage", 0.06, _FREE)
CREDIT = Kind("Credit", 0.05, _MINUS)
COMMITMENT_KINDS = (
    Kind(
        "DiscountedUsage",
        0.03,
        _FREE | {"reservation_effective_cost": 0.62, "reservation_recurring_fee_for_usage": 0.62},
        only=("Compute Instance", "Database Instance"),
    ),
    Kind(
        "SavingsPlanCoveredUsage",
        0.04,
        _PLAIN | {"savings_plan_savings_plan_effective_cost": 0.72, "savings_plan_savings_plan_rate": 0.72},
        only=COMPUTE,
    ),
    Kind("SavingsPlanNegation", 0.03, _MINUS, only=COMPUTE),
    Kind(
        "SavingsPlanRecurringFee",
        0.01,
        _MINUS
        | {
            "line_item_unblended_cost": 1.0,
            "line_item_blended_cost": 1.0,
            "savings_plan_recurring_commitment_for_billing_period": 720.0,
            "savings_plan_total_commitment_to_date": 1.0,
            "savings_plan_used_commitment": 0.9375,
        },
        only=COMPUTE,
    ),
)
COST_COLUMNS = sorted({column for kind in (USAGE, *COMMITMENT_KINDS) for column in kind.costs})


@dataclass(frozen=True, slots=True)
class Region:
    """A region, its usage type prefix (empty in us-east-1), long prefix, place and CloudFront edge group."""

    code: str
    prefix: str
    long_prefix: str
    location: str
    edge: str


REGIONS = (
    Region("us-east-1", "", "USE1", "US East (N. Virginia)", "US"),
    Region("eu-central-1", "EUC1-", "EUC1", "EU (Frankfurt)", "EU"),
    Region("eu-west-1", "EU-", "EU", "EU (Ireland)", "EU"),
    Region("us-west-2", "USW2-", "USW2", "US West (Oregon)", "US"),
    Region("ap-southeast-2", "APS2-", "APS2", "Asia Pacific (Sydney)", "AU"),
)
NAMES = ("orders", "billing", "search", "media", "reports", "ingest", "auth", "catalog")
INSTANCES = {
    "m5.large": ("2", "8 GiB", "4.0", "General purpose"),
    "c6g.xlarge": ("4", "8 GiB", "8.0", "Compute optimized"),
    "t3.micro": ("2", "1 GiB", "0.5", "General purpose"),
    "db.t3.medium": ("2", "4 GiB", "2.0", "General purpose"),
}
INSTANCE_ATTRIBUTES = {
    "capacitystatus": "Used",
    "clock_speed": "3.1 GHz",
    "current_generation": "Yes",
    "intel_avx_available": "Yes",
    "license_model": "No License required",
    "marketoption": "OnDemand",
    "network_performance": "Up to 10 Gigabit",
    "operating_system": "Linux",
    "physical_processor": "Intel Xeon Platinum 8175",
    "pre_installed_sw": "NA",
    "processor_architecture": "64-bit",
    "storage": "EBS only",
    "tenancy": "Shared",
}
TAX_TYPES = ("VAT", "GST", "USSalesTax")
# Text that a reader of CSV or JSON gets wrong if it splits by hand.
AWKWARD = (
    "Zürich, Büro",
    "東京, 2 階",
    'the "old" one',
    "first line\nsecond line",
    "tab\tand \\ backslash",
    "a;b|c",
)
SINGLE_LINES = 64


@cache
def catalog() -> list[dict[str, str]]:
    """What can be billed: service, usage type, unit, rate, usual hourly amount, place and frequency."""
    with (DATA / "cur2_catalog.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
