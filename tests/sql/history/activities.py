"""What the view of activities must show after each run."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offgridflow_common.singer.periods import version_key
from tests.sql.history.deliveries import ACCOUNTS, EXPORTS
from tests.sql.history.oracle import rows_of
from tests.sql.history.readings import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.sql.history.deliveries import Delivered, Owner, Services
    from tests.sql.history.readings import Outcome, Settings
    from tests.sql.history.world import World
    from tests.sql.warehouses import Warehouses

#: The types of exports of cost, the one that counts first before the others.
RANK = ("cur2", "cur", "focus")
USAGE = "activity_type = 'usage' AND unit <> 'm3'"
EMISSIONS = "activity_type = 'emissions' AND accounting_method <> 'market_based'"
REPORTS = {
    "SELECT month, sum(cost) FROM usage_cost_by_service GROUP BY month": (
        "sum(cost)",
        "activity_type = 'usage' AND cost IS NOT NULL",
    ),
    "SELECT month, location_based_kg FROM emissions_by_month": ("sum(quantity)", EMISSIONS),
}


@dataclass
class Activities:
    """Judges the facts of each account's month: those that must be there, and whether others ever were true.

    Attributes:
        world: What is true.
        warehouses: The target.
        reader: What reads emissions of the API, where no carbon export is configured.
    """

    world: World
    warehouses: Warehouses
    reader: Reader = field(default_factory=lambda: Reader("emissions", 1))

    def problems(self, settings: Settings, outcome: Outcome) -> Iterator[str]:
        """What is wrong with the activities after a run."""
        is_exact = outcome.is_good and {"activities", "deliveries"} <= set(settings.select)
        usage, emissions = self._shown(USAGE), self._shown(EMISSIONS)
        carbon = [name for name in settings.exports if EXPORTS[name].type == "carbon"]
        if "activities" in settings.select and not carbon:
            self.reader.follow(self.world, settings, outcome)
        for month in sorted({made.month for made in self.world.ever} | set(self.world.states("emissions"))):
            must_usage: dict[Owner, Services] = {}
            must_emissions: dict[Owner, Services] = {}
            if is_exact and settings.covers(month):
                must_usage = self._usage(settings, month)
                must_emissions = self._exported(carbon, month) if carbon else self._of_api(month)
                yield from self._absent_before_exports(emissions[month], month)
            yield from _compared(f"usage of {month}", usage[month], must_usage, self._ever(month))
            ever = self._ever_emitted(month)
            yield from _compared(f"emissions of {month}", emissions[month], must_emissions, ever)
        yield from self._reports()

    def _usage(self, settings: Settings, month: str) -> dict[Owner, Services]:
        """Of each account what the first export has that has any."""
        ranked = sorted(
            (name for name in settings.exports if EXPORTS[name].type in RANK),
            key=lambda name: RANK.index(EXPORTS[name].type),
        )
        expected: dict[Owner, Services] = {}
        unclear: set[Owner] = set()
        for name in ranked:
            made = self.world.newest.get((name, month, ""))
            if made:
                expected = {
                    owner: facts for owner, facts in made.facts().items() if owner not in unclear
                } | expected
            else:  # what was read of a delivery that was removed counts, as long as the state remembers it
                removed = (one for one in self.world.ever if (one.export, one.month) == (name, month))
                unclear |= {owner for one in removed for owner in one.facts()} - set(expected)
        return expected

    def _exported(self, carbon: Sequence[str], month: str) -> dict[Owner, Services]:
        """Of each account what the export has whose newest version is the newest."""
        newest: list[Delivered] = []
        for name in carbon:
            if (name, month) in self.world.removed_versions:
                return {}
            of = [one for one in self.world.newest.values() if (one.export, one.month) == (name, month)]
            newest += [max(of, key=_version)] if of else []
        expected: dict[Owner, Services] = {}
        for made in sorted(newest, key=_version, reverse=True):
            expected = made.facts() | expected
        return expected

    def _of_api(self, month: str) -> dict[Owner, Services]:
        """What must be from the API: its newest month; older ones may still be from a carbon export."""
        states = self.world.states("emissions")
        options = self.reader.may_show(self.world, month)
        if not options or month != max(states):
            return {}
        return {("", account): _facts(options[-1], account) for account, _, _ in options[-1]}

    def _absent_before_exports(self, shown: dict[Owner, Services], month: str) -> Iterator[str]:
        """What the API has of a month before the first of a carbon export must be there in some state."""
        states = self.world.states("emissions").get(month, [])
        exported = [made.month for made in self.world.ever if made.version]
        if states and month < min(exported, default=month):
            always = set.intersection(*({account for account, _, _ in rows} for rows in states))
            if missing := always - {account for _, account in shown}:
                yield f"emissions of {month}, before any export, are absent of {missing}"

    def _ever(self, month: str) -> dict[Owner, list[Services]]:
        """What each account's usage ever was."""
        found: dict[Owner, list[Services]] = defaultdict(list)
        for made in self.world.ever:
            if made.month == month and not made.version:
                for owner, facts in made.facts().items():
                    found[owner].append(facts)
        return found

    def _ever_emitted(self, month: str) -> dict[Owner, list[Services]]:
        """What each account's emissions ever were, by exports and the API."""
        found: dict[Owner, list[Services]] = defaultdict(list)
        for made in self.world.ever:
            if made.month == month and made.version:
                for owner, facts in made.facts().items():
                    found[owner].append(facts)
        for rows in self.world.states("emissions").get(month, ()):
            for account in ACCOUNTS:
                found["", account].append(_facts(rows, account))
        return found

    def _shown(self, where: str) -> dict[str, dict[Owner, Services]]:
        shown: dict[str, dict[Owner, Services]] = defaultdict(lambda: defaultdict(dict))
        for bill, account, service, amount, cost in self.warehouses.ask(
            f"SELECT external_id, account_id, service_code, sum(quantity), sum(cost) "
            f"FROM current_activities WHERE {where} GROUP BY external_id, account_id, service_code"
        ):
            owner, _, month = bill.rpartition("/")
            payer = owner.partition("/")[0] if where == USAGE else ""
            shown[month][payer, account][service] = (amount, cost or 0.0)
        return shown

    def _reports(self) -> Iterator[str]:
        for report, (total, where) in REPORTS.items():
            facts = self.warehouses.ask(
                f"SELECT date_trunc('month', period_start), {total} "
                f"FROM current_activities WHERE {where} GROUP BY 1"
            )
            told = self.warehouses.ask(report)
            # Without scope 2, which a cut run may not have loaded, there is no total.
            if any(
                one[1] is not None and not math.isclose(one[1], other[1])
                for one, other in zip(told, facts, strict=True)
            ):
                yield f"{report} has {told}, where the activities are {facts}"


def _compared(
    what: str,
    shown: dict[Owner, Services],
    expected: dict[Owner, Services],
    ever: dict[Owner, list[Services]],
) -> Iterator[str]:
    """Facts that must be there, and no other ones; elsewhere at most those that were true together once."""
    for owner in sorted({*shown, *expected}):
        found = shown.get(owner, {})
        if owner in expected:
            if found.keys() != expected[owner].keys() or not _within(found, expected[owner], exactly=True):
                yield f"{what} of {owner}: {found}, expected {expected[owner]}"
        elif not any(_within(found, option) for option in ever.get(owner, ())):
            yield f"{what} of {owner}: {found}, which was never true: {ever.get(owner)}"


def _within(found: Services, option: Services, *, exactly: bool = False) -> bool:
    """Whether the facts are some of these, or of a part of their days."""
    return all(
        service in option
        and all(
            math.isclose(one, other, abs_tol=1e-6) or (one < other and not exactly)
            for one, other in zip(values, option[service], strict=True)
        )
        for service, values in found.items()
    )


def _facts(rows: frozenset[tuple[str, str, int]], account: str) -> Services:
    return {service: (tonnes * 1000.0, 0.0) for _, service, tonnes in rows_of(rows, account)}


def _version(made: Delivered) -> tuple[object, ...]:
    return version_key(made.version)
