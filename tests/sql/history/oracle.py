"""What the views must show after each run, from what is true and what the documents promise."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offgridflow_common.singer.periods import version_key
from tests.sql.history.deliveries import EXPORTS, Delivered
from tests.sql.history.readings import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.sql.history.readings import Outcome, Settings
    from tests.sql.history.world import Row, World
    from tests.sql.warehouses import Warehouses

STREAM_OF = {
    "cur2": "cost_and_usage",
    "cur": "cost_and_usage",
    "focus": "focus_costs",
    "carbon": "carbon_export",
}
#: What tells the rows of a delivery apart: the service, and the cost or the tonnes.
SHOWN = {
    "cost_and_usage": "line_item_product_code, line_item_unblended_cost",
    "focus_costs": "x_service_code, billed_cost",
    "carbon_export": "product_code, round(total_scope_2_lbm_emissions_value * 2)",
}
#: Of each report its view, its value, and the length of what names a period.
VIEWS = {
    "emissions": ("current_carbon_emissions", "round(total_lbm_carbon_emissions)", len("2026-01")),
    "water": ("current_water_allocation", "total_water_withdrawals", len("2026")),
}


@dataclass
class Oracle:
    """Follows what deliveries and readings the target has, and judges what the views show of them.

    Attributes:
        world: What is true.
        warehouses: The target.
        told: The deliveries that `deliveries` has, by export and month.
        loaded: Those whose rows are all in the target, by the export and the id.
        readers: The streams that read the API.
    """

    world: World
    warehouses: Warehouses
    told: dict[tuple[str, str], list[Delivered]] = field(default_factory=lambda: defaultdict(list))
    loaded: set[tuple[str, str]] = field(default_factory=set)
    readers: dict[str, Reader] = field(
        default_factory=lambda: {
            "carbon_emissions": Reader("emissions", 1),
            "water_allocation": Reader("water", 12),
        }
    )

    def forget(self) -> None:
        """The state was lost."""
        for reader in self.readers.values():
            reader.newest = None

    def problems(self, settings: Settings, outcome: Outcome) -> Iterator[str]:
        """What is wrong with the views after a run."""
        yield from self._deliveries(settings, outcome)
        for stream, columns in SHOWN.items():
            yield from self._line_items(stream, columns)
        for stream, reader in self.readers.items():
            if stream in settings.select:
                reader.follow(self.world, settings, outcome)
            yield from self._readings(stream, reader, outcome)

    def _deliveries(self, settings: Settings, outcome: Outcome) -> Iterator[str]:
        asked = "SELECT export_name, billing_period, delivery_id FROM deliveries"
        found = set(self.warehouses.ask(asked))
        before = {_key(made) for of in self.told.values() for made in of}
        if lost := before - found:
            yield f"told before, and gone: {lost}"
        ever = {_key(made): made for made in self.world.ever}
        for key in sorted(found - before):
            # One that was read is told although a newer one has come.
            if key in ever and settings.reads(ever[key]) and "deliveries" in settings.select:
                self._tell(ever[key], settings)
            else:
                yield f"told, but not due: {key}"
        for made in filter(settings.reads, self.world.newest.values()):
            if not outcome.is_whole_of(made.export):
                continue
            if STREAM_OF[EXPORTS[made.export].type] in settings.select:
                self.loaded.add((made.export, made.told_id))
            if _key(made) not in found and "deliveries" in settings.select:
                yield f"not told: {_key(made)}"

    def _tell(self, made: Delivered, settings: Settings) -> None:
        self.told[made.export, made.month].append(made)
        if STREAM_OF[EXPORTS[made.export].type] in settings.select:
            self.loaded.add((made.export, made.told_id))

    def _line_items(self, stream: str, columns: str) -> Iterator[str]:
        shown: dict[tuple[str, str], Counter[tuple[str, float]]] = defaultdict(Counter)
        for export, month, *row in self.warehouses.ask(
            f"SELECT export_name, billing_period, {columns} FROM current_{stream}"
        ):
            shown[export, month][row[0], row[1]] += 1
        told = {place for place in self.told if STREAM_OF[EXPORTS[place[0]].type] == stream}
        for place in sorted({*shown, *told}):
            made = max(self.told[place], key=lambda one: (version_key(one.version), one.at), default=None)
            expected = made.rows if made else Counter()
            found = shown[place]
            # A delivery may have been told when nobody had selected its rows.
            is_loaded = made is None or (made.export, made.told_id) in self.loaded
            if found != expected and (is_loaded or not found <= expected):
                yield f"{stream} {place} {made}: more {found - expected}, fewer {expected - found}"

    def _readings(self, stream: str, reader: Reader, outcome: Outcome) -> Iterator[str]:
        view, value, length = VIEWS[reader.report]
        shown: dict[str, dict[str, set[Row]]] = defaultdict(lambda: defaultdict(set))
        for start, account, service, amount in self.warehouses.ask(
            f"SELECT period_start, account_id, service, {value} FROM {view}"
        ):
            shown[start.isoformat()[:length]][account].add((account, service, int(amount)))
        for period, states in self.world.states(reader.report).items():
            found = shown[period]
            for account, rows in found.items():
                if not any(rows <= rows_of(state, account) for state in states):
                    yield f"{stream} {period} {account} shows what never was: {rows}"
            options = reader.may_show(self.world, period)
            if options and not outcome.is_cut and not any(_shows(found, state) for state in options):
                yield f"{stream} {period} shows {dict(found)}, expected one of {options}"


def rows_of(state: Iterable[Row], account: str) -> set[Row]:
    """What a state of the API has of an account."""
    return {row for row in state if row[0] == account}


def _shows(found: Mapping[str, set[Row]], state: Iterable[Row]) -> bool:
    """Whether all accounts of a state are shown as it has them; those that it lacks keep what they had."""
    rows = list(state)
    return all(found.get(account) == rows_of(rows, account) for account, _, _ in rows)


def _key(made: Delivered) -> tuple[str, str, str]:
    return made.export, made.month, made.told_id
