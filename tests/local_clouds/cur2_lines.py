"""The lines of a made-up CUR 2.0 bill: one line is what one resource is billed for, hour after hour.

`hourly_lines` and `single_lines` give rows of the full column set; `cur2` repeats the first over the hours of
a month with varying amounts. Besides CUR columns a line carries the generator's own, which begin with `_`.
"""

from __future__ import annotations

import random
from typing import Any

from tests.local_clouds.cur2_parts import (
    Bill,
    common,
    fill,
    label,
    place,
    random_code,
    random_uuid,
    reservation,
    savings_plan,
)
from tests.local_clouds.cur2_vocabulary import (
    COMMITMENT_KINDS,
    CREDIT,
    FREE_TIER,
    NAMES,
    REGIONS,
    SINGLE_LINES,
    TAX_TYPES,
    USAGE,
    Kind,
    Region,
    catalog,
)


def hourly_lines(bill: Bill, count: int, generation: int) -> list[dict[str, Any]]:
    """The lines that recur each hour, ordered by kind; another generation has other resources."""
    rng = random.Random(f"{bill.seed}/{generation}/hourly")
    kinds = (USAGE, FREE_TIER, CREDIT, *(COMMITMENT_KINDS if bill.commitments else ()))
    total = sum(kind.share for kind in kinds)
    lines = []
    for position, kind in enumerate(kinds):
        until = count if position == len(kinds) - 1 else len(lines) + round(count * kind.share / total)
        items = [item for item in catalog() if not kind.only or item["family"] in kind.only]
        weights = [int(item["weight"]) for item in items]
        lines.extend(
            _line(bill, rng, kind, item) for item in rng.choices(items, weights, k=until - len(lines))
        )
    return lines


def _line(bill: Bill, rng: random.Random, kind: Kind, item: dict[str, str]) -> dict[str, Any]:
    region, peer = rng.sample(REGIONS, 2)
    account = rng.choice(bill.accounts)
    name = rng.choice(NAMES)
    words = {
        "p": region.prefix,
        "P": region.long_prefix,
        "Q": peer.long_prefix,
        "cf": region.edge,
        "region": region.code,
        "location": region.location,
        "peer_location": peer.location,
        "account": account,
        "name": name,
        "rate": item["rate"],
        "uuid": random_uuid(rng),
    }
    row = common(bill, rng, account)
    usage_type = fill(item["usage_type"], words, rng)
    row |= {
        "line_item_line_item_type": kind.name,
        "line_item_product_code": item["product_code"],
        "line_item_usage_type": usage_type,
        "line_item_operation": item["operation"],
        "line_item_resource_id": fill(item["resource"], words, rng) or None,
        "line_item_line_item_description": fill(item["description"], words, rng),
        "line_item_unblended_rate": "0.0" if kind is FREE_TIER else item["rate"],
        "line_item_blended_rate": "0.0" if kind is FREE_TIER else item["rate"],
        "pricing_public_on_demand_rate": item["rate"],
        "pricing_unit": item["unit"],
        "pricing_term": "OnDemand",
        "pricing_rate_code": f"{random_code(rng)}.JRTCKXETXF.6YS6EN2CT7",
        "pricing_rate_id": str(rng.randrange(10**9, 10**12)),
        "_rate": float(item["rate"]),
        "_amount": float(item["amount"]),
        "_steady": item["steady"] == "1",
        "_hours": 1,
    }
    row |= {f"_{column}": factor for column, factor in kind.costs.items()}
    place(row, item, region, peer, usage_type, rng)
    label(row, rng, name)
    _adapt(row, kind, region, rng)
    return row


def single_lines(bill: Bill) -> list[dict[str, Any]]:
    """The lines that occur once in the month: tax for all of it, and fees and refunds of bigger accounts."""
    rng = random.Random(f"{bill.seed}/single")
    makers = (_tax, _reservation_fee, _fee, _refund) if bill.commitments else (_tax,)
    return [makers[number % len(makers)](bill, rng) for number in range(SINGLE_LINES)]


def _single(bill: Bill, rng: random.Random, kind: str, hours: int, cost: float) -> dict[str, Any]:
    region = rng.choice(REGIONS)
    row = common(bill, rng, rng.choice(bill.accounts))
    row |= {f"_{column}": factor for column, factor in USAGE.costs.items()}
    return row | {
        "line_item_line_item_type": kind,
        "line_item_product_code": rng.choice(catalog())["product_code"],
        "product": {"product_name": "Amazon Web Services", "region": region.code},
        "_rate": cost,
        "_amount": 1.0,
        "_steady": True,
        "_hours": hours,
    }


def _tax(bill: Bill, rng: random.Random) -> dict[str, Any]:
    row = _single(bill, rng, "Tax", bill.hours, round(rng.uniform(0.01, 90), 2))
    tax = rng.choice(TAX_TYPES)
    return row | {
        "line_item_tax_type": tax,
        "line_item_line_item_description": f"{tax} for product code {row['line_item_product_code']}",
        "product": {},
        "_pricing_public_on_demand_cost": 0.0,
    }


def _reservation_fee(bill: Bill, rng: random.Random) -> dict[str, Any]:
    region = rng.choice(REGIONS)
    row = _single(bill, rng, "RIFee", bill.hours, 0.07)
    row |= reservation(region, row["line_item_usage_account_id"], rng)
    return row | {
        "line_item_product_code": "AmazonEC2",
        "line_item_usage_type": f"{region.prefix}HeavyUsage:m5.large",
        "line_item_operation": "RunInstances",
        "line_item_resource_id": row["reservation_reservation_a_r_n"],
        "line_item_line_item_description": "USD 0.07 hourly fee per Linux/UNIX, m5.large instance",
        "product_region_code": region.code,
        "product": {"product_name": "Amazon Elastic Compute Cloud", "region": region.code},
        "reservation_unused_quantity": 3.0,
        "reservation_unused_recurring_fee": 0.21,
        "_amount": float(bill.hours),
        "_pricing_public_on_demand_cost": 0.0,
    }


def _fee(bill: Bill, rng: random.Random) -> dict[str, Any]:
    row = _single(bill, rng, "Fee", 1, round(rng.uniform(9, 400), 2))
    return row | {
        "bill_bill_type": "Purchase",
        "line_item_usage_type": "Dollar",
        "line_item_line_item_description": 'Registration of "example.com", 1 year',
    }


def _refund(bill: Bill, rng: random.Random) -> dict[str, Any]:
    row = _single(bill, rng, "Refund", 1, -round(rng.uniform(1, 60), 2))
    return row | {
        "bill_bill_type": "Refund",
        "line_item_usage_type": "Refund",
        "line_item_line_item_description": "Refund for overcharge,\nsee case 1234567890",
    }


def _adapt(row: dict[str, Any], kind: Kind, region: Region, rng: random.Random) -> None:
    """Change a usage line into another line item type."""
    account = row["line_item_usage_account_id"]
    if kind is CREDIT:
        row |= {
            "line_item_resource_id": None,
            "line_item_line_item_description": 'Promotional credit: "startup" program',
            "_hours": rng.randint(1, 24),
        }
    elif kind.name == "DiscountedUsage":
        row |= reservation(region, account, rng)
    elif kind.name.startswith("SavingsPlan"):
        row |= savings_plan(account, rng)
    if kind.name == "SavingsPlanNegation":
        row |= {
            "line_item_resource_id": None,
            "line_item_line_item_description": f"SavingsPlanNegation used by AccountId : {account}",
        }
    if kind.name == "SavingsPlanRecurringFee":
        row |= {
            "line_item_product_code": "ComputeSavingsPlans",
            "line_item_usage_type": "ComputeSP:1yrNoUpfront",
            "line_item_operation": "None",
            "line_item_resource_id": row["savings_plan_savings_plan_a_r_n"],
            "line_item_line_item_description": "1 year No Upfront Compute Savings Plan",
            "_rate": 0.5,
            "_amount": 1.0,
            "_steady": True,
        }
