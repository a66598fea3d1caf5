"""The words of a made-up Azure bill: kinds of charges, regions, names and tags, and a catalog of meters."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

DATA = Path(__file__).parent / "data"

#: What exports of each type have: cost as billed, with purchases spread over their term, or both.
View = Literal["ActualCost", "AmortizedCost", "FocusCost"]

ACTUAL, AMORTIZED, BOTH = ("ActualCost", "FocusCost"), ("AmortizedCost", "FocusCost"), ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of charge.

    Attributes:
        charge_type: In Azure's words.
        pricing_model: In Azure's words.
        share: Of all lines; of those that stand once a month, none.
        billed: Factor on the agreed price, as billed.
        spread: The same, with purchases spread over their term.
        only: Flag of the meters that it happens to.
        views: Where it stands; empty for everywhere.
        publisher: Who sells.
        frequency: How often it happens.
    """

    charge_type: str
    pricing_model: str
    share: float = 0.0
    billed: float = 1.0
    spread: float = 1.0
    only: str = ""
    views: tuple[str, ...] = BOTH
    publisher: str = "Azure"
    frequency: str = "UsageBased"

    @property
    def commitment(self) -> str:
        """Reservation or SavingsPlan, if it has to do with one."""
        return self.pricing_model if self.pricing_model in {"Reservation", "SavingsPlan"} else ""

    @property
    def is_unused(self) -> bool:
        """Whether it is what nobody used of a commitment; no subscription has it."""
        return self.charge_type.startswith("Unused")


#: What comes every day; what is unused comes last, so that the views share all before.
DAILY = (
    Kind("Usage", "OnDemand", 0.70),
    Kind("Usage", "Spot", 0.03, 0.31, 0.31, only="spot"),
    Kind("Usage", "OnDemand", 0.05, 0.0, 0.0),
    Kind("Usage", "OnDemand", 0.04, publisher="Marketplace"),
    Kind("Usage", "Reservation", 0.08, 0.0, 0.6193548387, only="commit"),
    Kind("Usage", "SavingsPlan", 0.07, 0.0, 0.7811111111, only="commit"),
    Kind("UnusedReservation", "Reservation", 0.02, 0.0, 0.6193548387, only="commit", views=AMORTIZED),
    Kind("UnusedSavingsPlan", "SavingsPlan", 0.01, 0.0, 0.7811111111, only="commit", views=AMORTIZED),
)

#: What comes once a month, with how often each does.
MONTHLY = {
    Kind("Purchase", "Reservation", spread=0.0, views=ACTUAL, frequency="Recurring"): 6,
    Kind("Purchase", "SavingsPlan", spread=0.0, views=ACTUAL, frequency="Recurring"): 4,
    Kind("Refund", "Reservation", billed=-1.0, spread=0.0, views=ACTUAL, frequency="OneTime"): 2,
    Kind("Purchase", "OnDemand", publisher="Marketplace", frequency="OneTime"): 4,
    Kind("Tax", "", frequency="OneTime"): 2,
    Kind("RoundingAdjustment", "", frequency="OneTime"): 1,
}

#: No subscription has these either.
NOBODYS = frozenset({"Tax", "RoundingAdjustment"})


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its id, its display name, the name in meters, and other spellings in bills."""

    id: str
    name: str
    meter: str
    spellings: tuple[str, ...]


REGIONS = (
    Region("westeurope", "West Europe", "EU West", ("westeurope", "EU West", "WestEurope")),
    Region("northeurope", "North Europe", "EU North", ("northeurope", "EU North")),
    Region("eastus", "East US", "US East", ("EastUS", "US East", "eastus")),
    Region("eastus2", "East US 2", "US East 2", ("EastUS2", "eastus2")),
    Region("uksouth", "UK South", "UK South", ("uksouth", "UKSouth")),
    Region(
        "germanywestcentral",
        "Germany West Central",
        "DE West Central",
        ("germanywestcentral", "DE West Central"),
    ),
    Region("southeastasia", "Southeast Asia", "AP Southeast", ("southeastasia", "AP Southeast")),
    Region("brazilsouth", "Brazil South", "BR South", ("brazilsouth", "BR South")),
)
NOWHERE = Region("", "", "Unassigned", ("Unassigned", ""))

NAMES = ("web", "api", "orders", "data-lake", "RG-Platform", "build", "search", "batch", "größe", "倉庫")

#: Tags as keys and values; several hold what CSV and JSON must quote.
TAGS: tuple[dict[str, str], ...] = (
    {},
    {"env": "prod", "team": "a"},
    {"env": "dev"},
    {"Cost Center": "4711", "owner": "jane@example.org", "app:tier": "front, back"},
    {"note": 'say "hello"', "path": "C:\\temp", "lines": "one\ntwo"},
    {"größe": "groß", "名": "倉庫 🚚", "empty": ""},
)


@cache
def catalog() -> tuple[dict[str, str], ...]:
    """The meters."""
    with (DATA / "azure_meters.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
