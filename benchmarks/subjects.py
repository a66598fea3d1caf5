"""What is read: kinds of exports, each by one stream of one tap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks import columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from benchmarks.columns import Column

Format = Literal["parquet", "csv"]
Tap = Literal["tap_offgridflow_aws", "tap_offgridflow_azure"]
ExportType = Literal["cur2", "cur", "actual", "focus"]

#: The column set that is compared for all subjects.
FEW = "25"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A kind of export, and what is read of it.

    Attributes:
        name: Names it in the results.
        tap: The module of the tap.
        stream: The stream of its rows.
        keys: What identifies a row, for taps that must be told; empty if nothing does.
        export_type: What the tap's setting calls it.
        format: Of its data files.
        sets: The column sets that are compared, by how many columns they have: first `FEW`, last all.
        thorough: All that there is is compared, not only what the targets need.
    """

    name: str
    tap: Tap
    stream: str
    keys: tuple[str, ...]
    export_type: ExportType
    format: Format
    sets: Mapping[str, tuple[Column, ...]]
    thorough: bool

    @property
    def whole(self) -> str:
        """The set of all columns."""
        return list(self.sets)[-1]


def _sets(
    every: list[Column], selected: Collection[str], *, with_maps: bool
) -> dict[str, tuple[Column, ...]]:
    """What is selected, and all; and if asked for, the former with all maps and the latter without."""
    few = tuple(column for column in every if {column.header, column.name} & set(selected))
    mixed = tuple(column for column in every if column in few or column.is_map)
    plain = tuple(column for column in every if not column.is_map)
    chosen = (few, mixed, plain, tuple(every)) if with_maps else (few, tuple(every))
    return {str(len(one)): one for one in chosen}


def _cur2(form: Format) -> Subject:
    return Subject(
        name=form,
        tap="tap_offgridflow_aws",
        stream="cost_and_usage",
        keys=("identity_line_item_id", "identity_time_interval"),
        export_type="cur2",
        format=form,
        sets=_sets(columns.cur2(), columns.CUR2_SELECTED, with_maps=True),
        thorough=True,
    )


def _legacy_cur() -> Subject:
    return Subject(
        name="legacy csv",
        tap="tap_offgridflow_aws",
        stream="cost_and_usage",
        keys=("identity_line_item_id", "identity_time_interval"),
        export_type="cur",
        format="csv",
        sets=_sets(columns.legacy_cur(), columns.CUR2_SELECTED, with_maps=False),
        thorough=False,
    )


def _azure_csv() -> Subject:
    return Subject(
        name="azure csv",
        tap="tap_offgridflow_azure",
        stream="cost_details",
        keys=(),
        export_type="actual",
        format="csv",
        sets=_sets(columns.cost_details(), columns.COST_DETAILS_SELECTED, with_maps=False),
        thorough=False,
    )


def _azure_focus() -> Subject:
    return Subject(
        name="azure focus",
        tap="tap_offgridflow_azure",
        stream="focus_costs",
        keys=(),
        export_type="focus",
        format="parquet",
        sets=_sets(columns.focus(), columns.FOCUS_SELECTED, with_maps=False),
        thorough=False,
    )


#: By name.
SUBJECTS = {
    subject.name: subject
    for subject in (_cur2("parquet"), _cur2("csv"), _legacy_cur(), _azure_csv(), _azure_focus())
}
