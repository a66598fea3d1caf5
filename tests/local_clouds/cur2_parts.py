"""The parts that lines of a made-up CUR 2.0 bill are put together from."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.local_clouds.cur2_vocabulary import (
    AWKWARD,
    INSTANCE_ATTRIBUTES,
    INSTANCES,
    RESERVATION_BLANKS,
    ZEROS,
    Region,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Bill:
    """What all lines of a bill share."""

    month_start: datetime
    month_end: datetime
    hours: int
    payer: str
    accounts: Sequence[str]
    seed: int
    final: bool
    commitments: bool


def common(bill: Bill, rng: random.Random, account: str) -> dict[str, Any]:
    """What every line has, whatever it is for."""
    row: dict[str, Any] = dict.fromkeys(ZEROS, 0.0) | dict.fromkeys(RESERVATION_BLANKS, "")
    return row | {
        "bill_bill_type": "Anniversary",
        "bill_billing_entity": "AWS",
        "bill_billing_period_start_date": bill.month_start,
        "bill_billing_period_end_date": bill.month_end,
        "bill_invoice_id": str(1_800_000_000 + bill.seed % 10**8) if bill.final else None,
        "bill_invoicing_entity": "Amazon Web Services EMEA SARL",
        "bill_payer_account_id": bill.payer,
        "bill_payer_account_name": "Example Payer",
        "identity_line_item_id": random_code(rng, 52).lower(),
        "line_item_currency_code": "USD",
        "line_item_legal_entity": "Amazon Web Services EMEA SARL",
        "line_item_usage_account_id": account,
        "line_item_usage_account_name": f"example-{bill.accounts.index(account) + 1}",
        "cost_category": {},
        "discount": {},
        "product": {},
        "resource_tags": {},
        "tags": {},
    }


def place(  # noqa: PLR0917 - the parts of one line
    row: dict[str, Any],
    item: dict[str, str],
    region: Region,
    peer: Region,
    usage_type: str,
    rng: random.Random,
) -> None:
    """Fill the product columns. The map always names the region; the column often does not."""
    where, instance = item["place"], item["instance_type"]
    code = "global" if where in ("global", "edge") else region.code
    row |= {
        "product_operation": item["operation"],
        "product_pricing_unit": item["unit"],
        "product_product_family": item["family"],
        "product_servicecode": "AWSDataTransfer"
        if item["family"] == "Data Transfer"
        else item["product_code"],
        "product_sku": random_code(rng, 16),
        "product_usagetype": usage_type,
        "product": _product_map(item, code, rng),
    }
    if item["region_code"] == "1":
        location = "Any" if code == "global" else region.location
        row |= {
            "product_region_code": code,
            "product_location": location,
            "product_location_type": "Other" if code == "global" else "AWS Region",
        }
    if where in ("transfer", "peer", "edge"):
        row |= {
            "product_from_location": region.location,
            "product_from_location_type": "AWS Edge Location" if where == "edge" else "AWS Region",
            "product_from_region_code": None if where == "edge" else region.code,
            "product_to_location": peer.location if where == "peer" else "External",
            "product_to_location_type": "AWS Region" if where == "peer" else "Other",
            "product_to_region_code": peer.code if where == "peer" else None,
        }
    if instance:
        row |= {
            "line_item_availability_zone": region.code + rng.choice("abc"),
            "line_item_normalization_factor": float(INSTANCES[instance][2]),
            "product_instance_type": instance,
            "product_instance_family": INSTANCES[instance][3],
            "product_instancesku": random_code(rng, 16),
        }


def _product_map(item: dict[str, str], region: str, rng: random.Random) -> dict[str, str]:
    product = {
        "region": region,
        "product_name": item["product_code"],
        "servicename": item["product_code"].removeprefix("Amazon").removeprefix("AWS"),
        "group": item["family"].replace(" ", ""),
        "group_description": item["description"].replace("${rate}", "price")[:40],
        "product_family": item["family"],
        "version": "1.0",
        "availability": "99.99%",
        "transfer_type": "AWS Outbound" if "Out" in item["usage_type"] else "",
        "max_throughput": str(rng.choice((125, 250, 1000))),
    }
    if item["instance_type"]:
        vcpu, memory, factor, family = INSTANCES[item["instance_type"]]
        product |= {
            "vcpu": vcpu,
            "memory": memory,
            "normalization_size_factor": factor,
            "instance_family": family,
            "instance_type": item["instance_type"],
            **INSTANCE_ATTRIBUTES,
        }
    return product


def label(row: dict[str, Any], rng: random.Random, name: str) -> None:
    """Tags, categories and discounts on some lines, and text that is hard to quote on a few."""
    if rng.random() < 0.6:
        center = f"{rng.randrange(99):04}"
        row["resource_tags"] = {"user_name": f"{name}-{rng.randrange(99)}", "user_cost_center": center}
        row["tags"] = {"resourceTags/CostCenter": center, "accountTag/env": "prod"}
    if rng.random() < 0.04:
        owner = rng.choice(AWKWARD)
        row["resource_tags"] = {"user_owner": owner, "aws_created_by": f"IAMUser:{name}", "user_empty": ""}
    if rng.random() < 0.3:
        row["cost_category"] = {"team": rng.choice(("platform", "data", "web"))}
    if rng.random() < 0.05:
        row["discount"] = {"edp_discount": -round(rng.uniform(0, 0.01), 8), "private_rate_discount": 0.0}
    if rng.random() < 0.02:
        row["line_item_line_item_description"] += " " + rng.choice(AWKWARD)


def reservation(region: Region, account: str, rng: random.Random) -> dict[str, Any]:
    """The columns of a line that belongs to a reservation."""
    return {
        "pricing_term": "Reserved",
        "pricing_lease_contract_length": "1yr",
        "pricing_offering_class": "standard",
        "pricing_purchase_option": "No Upfront",
        "reservation_reservation_a_r_n": f"arn:aws:ec2:{region.code}:{account}:reserved/{random_uuid(rng)}",
        "reservation_subscription_id": str(rng.randrange(10**9, 10**10)),
        "reservation_start_time": "2026-02-01T00:00:00.000Z",
        "reservation_end_time": "2027-01-31T23:59:59.000Z",
        "reservation_modification_status": "Original",
        **dict.fromkeys(RESERVATION_BLANKS, "4"),
    }


def savings_plan(account: str, rng: random.Random) -> dict[str, Any]:
    """The columns of a line that belongs to a savings plan."""
    return {
        "savings_plan_savings_plan_a_r_n": f"arn:aws:savingsplans::{account}:savingsplan/{random_uuid(rng)}",
        "savings_plan_offering_type": "ComputeSavingsPlans",
        "savings_plan_payment_option": "No Upfront",
        "savings_plan_purchase_term": "1yr",
        "savings_plan_region": "Any",
        "savings_plan_start_time": "2026-02-01T00:00:00.000Z",
        "savings_plan_end_time": "2027-01-31T23:59:59.000Z",
    }


def random_code(rng: random.Random, length: int = 16) -> str:
    return "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=length))


def random_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def fill(pattern: str, words: dict[str, str], rng: random.Random) -> str:
    """Put the words and hexadecimal digits (`{hex17}`: 17 of them) into a pattern of the catalog."""
    filled = re.sub(
        r"\{hex(\d+)\}", lambda found: f"{rng.getrandbits(4 * int(found[1])):0{found[1]}x}", pattern
    )
    return filled.format(**words)
