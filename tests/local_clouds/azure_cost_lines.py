"""The lines of a made-up Azure bill: one line is what one resource is charged for with one meter, day by day.

A line has the columns that cost details of all agreements have, under their names in lower case. Its own,
which begin with `_`, are for quantities, costs and FOCUS.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_cost_vocabulary import (
    DAILY,
    MONTHLY,
    NAMES,
    NOBODYS,
    NOWHERE,
    REGIONS,
    TAGS,
    Kind,
    Region,
    View,
    catalog,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

#: The price as agreed, as part of the public one.
_AGREED = 0.9371
_ACCOUNT = "1234567"
_MARKETPLACE = {
    "metercategory": "",
    "metersubcategory": "",
    "metername": "",
    "publishername": "Example Software",
    "publisherid": "examplesoftware",
    "planname": "Standard",
    "_service_name": "Example Firewall",
    "_service_category": "Other",
    "_service_subcategory": "Other (Other)",
}


@dataclass(frozen=True, slots=True)
class Bill:
    """What all lines of a bill share.

    Attributes:
        first: The first day of the month.
        days: How many it has.
        seed: Same seed, same bill.
        view: What it shows.
        subscriptions: Ids of the subscriptions.
    """

    first: date
    days: int
    seed: int
    view: View
    subscriptions: Sequence[str]


def daily_lines(bill: Bill, count: int, generation: int) -> list[dict[str, Any]]:
    """The lines that recur each day, ordered by kind; another generation has other resources."""
    rng = random.Random(f"{bill.seed}/{generation}/daily")
    kinds = [kind for kind in DAILY if not kind.views or bill.view in kind.views]
    lines: list[dict[str, Any]] = []
    for kind in DAILY:
        meters = [meter for meter in catalog() if kind.only in meter["flags"].split() or not kind.only]
        weights = [int(meter["weight"]) for meter in meters]
        made = [
            _line(bill, rng, kind, meter)
            for meter in rng.choices(meters, weights, k=round(count * kind.share))
        ]
        lines += made if kind in kinds else ()
    usage = DAILY[0]
    return lines + [_line(bill, rng, usage, meter) for meter in rng.choices(catalog(), k=count - len(lines))]


def monthly_lines(bill: Bill) -> list[dict[str, Any]]:
    """The lines that stand once in the month, each with a quantity of 1."""
    rng = random.Random(f"{bill.seed}/monthly")
    return [
        _line(bill, rng, kind, rng.choice(catalog())) | {"_amount": 1.0, "_steady": True}
        for kind, count in MONTHLY.items()
        if not kind.views or bill.view in kind.views
        for _ in range(count)
    ]


def _line(bill: Bill, rng: random.Random, kind: Kind, meter: dict[str, str]) -> dict[str, Any]:
    price = float(meter["price"]) * (1 + rng.randrange(40) / 100)
    if kind.frequency != "UsageBased":
        price = -0.004213 if kind.charge_type == "RoundingAdjustment" else round(rng.uniform(3, 900), 2)
    owner = "" if kind.is_unused or kind.charge_type in NOBODYS else rng.choice(bill.subscriptions)
    region = NOWHERE if "nowhere" in meter["flags"] or not owner else rng.choice(REGIONS)
    line = (
        _shared(bill) | _measured(rng, meter, region) | _charged(kind, owner) | _resource(rng, meter, owner)
    )
    line |= {
        "_price": round(price, 8),
        "_agreed": round(price * _AGREED, 10),
        "_billed": kind.billed,
        "_spread": kind.spread,
        "_amount": float(meter["amount"]),
        "_steady": kind.is_unused or meter["unit_of_measure"] == "1 Hour",
        "_tags": json.dumps(rng.choice(TAGS) if owner else {}, ensure_ascii=False, separators=(",", ": ")),
    }
    if kind.publisher == "Marketplace":
        line |= _MARKETPLACE
    return line | (_committed(rng, kind) if kind.commitment else {})


def _shared(bill: Bill) -> dict[str, Any]:
    return {
        "billingaccountid": _ACCOUNT,
        "billingaccountname": "Example, Inc.",
        "billingprofileid": _ACCOUNT,
        "billingprofilename": "Example, Inc.",
        "invoiceid": f"G{bill.seed:08}",
        "invoicesectionid": "41",
        "invoicesectionname": "Platform",
        "costcenter": "acm9000",
        "accountownerid": "owner@example.org",
        "accountname": "Platform Team",
        "offerid": "MS-AZR-0017P",
        "billingcurrency": "EUR",
        "pricingcurrency": "USD",
        "provider": "Microsoft",
    }


def _measured(rng: random.Random, meter: dict[str, str], region: Region) -> dict[str, Any]:
    """What was metered, and where."""
    identity = _uuid(rng)
    return {
        "metercategory": meter["meter_category"],
        "metersubcategory": meter["meter_sub_category"],
        "metername": meter["meter_name"],
        "meterid": identity,
        "meterregion": region.meter,
        "servicefamily": meter["service_family"],
        "consumedservice": meter["consumed_service"],
        "productname": f"{meter['product']} - {region.meter}",
        "productid": f"DZH318Z0{identity[:8].upper()}",
        "partnumber": f"AAA-{rng.randrange(10_000, 99_999)}",
        "unitofmeasure": meter["unit_of_measure"],
        "resourcelocation": rng.choice(region.spellings),
        "location": region.meter,
        "availabilityzone": rng.choice(["", "1", "2"]) if meter["resource_type"] == "virtualMachines" else "",
        "_block": float(meter["block"]),
        "_consumed_unit": meter["consumed_unit"],
        "_region_id": region.id,
        "_region_name": region.name,
        "_service_name": meter["service_name"],
        "_service_category": meter["service_category"],
        "_service_subcategory": meter["service_subcategory"],
    }


def _charged(kind: Kind, owner: str) -> dict[str, Any]:
    return {
        "chargetype": kind.charge_type,
        "pricingmodel": kind.pricing_model,
        "frequency": kind.frequency,
        "publishertype": kind.publisher,
        "publishername": "Microsoft",
        "isazurecrediteligible": "True",
        "subscriptionid": owner,
        "subscriptionname": f"Subscription {owner[-4:]}" if owner else "",
        "_commitment": kind.commitment,
        "_unused": kind.is_unused,
    }


def _resource(rng: random.Random, meter: dict[str, str], owner: str) -> dict[str, Any]:
    """The resource of a subscription, in the cases that Azure mixes; nothing without one."""
    if not owner:
        return {}
    group, name = f"rg-{rng.choice(NAMES)}", f"{rng.choice(NAMES)}-{rng.randrange(100)}"
    group = rng.choice([group, group.upper()])
    kind = f"{meter['consumed_service']}/{meter['resource_type']}"
    details = {"ServiceType": meter["meter_name"], "VCPUs": 4, "UsageType": "ComputeHR"}
    return {
        "resourcegroup": group,
        "resourcename": name,
        "resourceid": f"/subscriptions/{owner}/resourceGroups/{group}/providers/{kind}/{name}",
        "serviceinfo2": rng.choice(["", "Canonical"]),
        "additionalinfo": rng.choice(["", json.dumps(details), json.dumps(details).strip("{}")]),
        "_resource_type": kind.lower(),
    }


def _committed(rng: random.Random, kind: Kind) -> dict[str, Any]:
    """The reservation or savings plan that a line has to do with."""
    order, identity = _uuid(rng), _uuid(rng)
    if kind.commitment == "Reservation":
        path = f"/providers/Microsoft.Capacity/reservationOrders/{order}/reservations/{identity}"
        own = {"reservationid": identity, "reservationname": f"VM_RI_{order[:8]}"}
    else:
        path = f"/providers/Microsoft.BillingBenefits/savingsPlanOrders/{order}/savingsPlans/{identity}"
        own = {}
    return own | {
        "productorderid": order,
        "productordername": f"{kind.commitment}, 3 Years",
        "term": "36",
        "benefitid": path,
        "benefitname": own.get("reservationname", f"SP_{order[:8]}"),
    }


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
