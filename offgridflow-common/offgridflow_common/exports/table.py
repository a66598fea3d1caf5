"""Tables: what export files should contain, and the plan that makes a stream's columns of a file's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import Kind, squashed
from offgridflow_common.errors import ContractBroken
from offgridflow_common.exports.convert import (
    convert,
    first_given,
    gather_map,
    map_member,
    prepared,
)
from offgridflow_common.exports.extra import gather_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from offgridflow_common.columns import Column

#: The column that keeps what the table does not know.
EXTRA = "extra"

#: The column that numbers a file's rows from 0, in the file's order.
ROW_NUMBER = "row_number"


@dataclass(frozen=True, slots=True)
class Fold:
    """Columns that become members of one map column, because the set of them is never the same.

    Attributes:
        column: The map column.
        prefix: How the names of its members begin, after renaming; the rest is the member's key.
    """

    column: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Table:
    """What the files of an export type contain.

    Attributes:
        columns: The known columns, in the names of the stream.
        required: The columns without which the rows mean nothing.
        rename: From a file's column name to the stream's.
        folds: Where columns go that are not known by name but by their prefix.
        constants: Columns that no file has, with the value that they have in every row.
        prepare: By column, what is done to a file's texts before they are converted.
    """

    columns: tuple[Column, ...]
    required: frozenset[str] = frozenset()
    rename: Callable[[str], str] = field(default=lambda name: name)
    folds: tuple[Fold, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    prepare: Mapping[str, Callable[[pl.Series], pl.Series]] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Column]:
        """The known columns by name."""
        return {column.name: column for column in self.columns}

    def requiring(self, names: Iterable[str]) -> Table:
        """The same table, of which other columns are required."""
        return replace(self, required=frozenset(names))

    def check(self, present: Iterable[str], where: str) -> None:
        """Make sure that all required columns are there, before the first row is read.

        Raises:
            ContractBroken: Some are missing; the message names them.
        """
        missing = sorted(self.required - {self.rename(name) for name in present})
        if missing:
            raise ContractBroken(
                asked=f"reading {where}",
                got=f"no column {', '.join(missing)}",
                do="let the export have them, by its query or the version of its data, and deliver the "
                "period again",
            )


class Plan:
    """Which of a file's columns to read, and how the wanted columns are made of them.

    Args:
        table: What the file should contain.
        present: The names of the file's columns.
        wanted: The columns to make, in this order: columns of the table (null where the file has
            nothing for one), what a column of text maps holds under a key (``column.key``),
            :data:`EXTRA` and :data:`ROW_NUMBER`.

    Attributes:
        sources: The file's columns that are needed.
    """

    def __init__(self, table: Table, present: Sequence[str], wanted: Sequence[str]) -> None:
        self._known = table.by_name
        self._constants = table.constants
        self._prepare = table.prepare
        self._wanted = wanted
        self._direct: dict[str, str] = {}
        self._members: dict[str, dict[str, list[str]]] = {}
        self._unknown: list[str] = []
        # Of two columns that are one here, that of the very name counts before that of another name for it.
        for name in sorted(present, key=lambda name: squashed(table.rename(name)) != squashed(name)):
            self._place(name, table)
        needed = self._needed()
        self.sources = [name for name in present if name in needed]

    def apply(self, block: pl.DataFrame, *, first_row: int) -> pl.DataFrame:
        """Make the wanted columns of a block.

        Args:
            block: The :attr:`sources` of some rows.
            first_row: The number of its first row in the file.
        """
        return pl.DataFrame([self._column(block, name, first_row) for name in self._wanted])

    def _place(self, name: str, table: Table) -> None:
        renamed = table.rename(name)
        if renamed in self._known and renamed not in self._direct and renamed not in self._constants:
            self._direct[renamed] = name
            return
        for fold in table.folds:
            if renamed.startswith(fold.prefix):
                keys = self._members.setdefault(fold.column, {})
                keys.setdefault(renamed.removeprefix(fold.prefix), []).append(name)
                return
        self._unknown.append(name)

    def _needed(self) -> set[str]:
        needed = set()
        for wanted in self._wanted:
            column, _, key = wanted.partition(".")
            if column in self._direct:
                needed.add(self._direct[column])
            for member, names in self._members.get(column, {}).items():
                needed.update(names if key in {"", member} else ())
        return needed | set(self._unknown if EXTRA in self._wanted else ())

    def _column(self, block: pl.DataFrame, name: str, first_row: int) -> pl.Series:
        if name == ROW_NUMBER:
            return pl.int_range(first_row, first_row + block.height, eager=True).alias(name)
        if name == EXTRA and self._unknown:
            return gather_extra(block.select(self._unknown), name)
        if name in self._direct:
            values = block[self._direct[name]]
            kind = self._known[name].kind
            prepare = self._prepare.get(name)
            return (prepared(values, prepare, kind) if prepare else convert(values, kind)).alias(name)
        if name in self._members:
            return gather_map(block, self._members[name], self._known[name].kind).alias(name)
        if "." in name:
            return self._member(block, *name.split(".", 1)).alias(name)
        dtype = self._known[name].kind.dtype if name in self._known else pl.Null()
        return _repeated(self._constants.get(name), dtype, block.height).alias(name)

    def _member(self, block: pl.DataFrame, column: str, key: str) -> pl.Series:
        if column in self._direct:
            return map_member(block[self._direct[column]], key, self._known[column].kind)
        names = self._members.get(column, {}).get(key)
        return first_given(block, names, Kind.STRING) if names else _repeated(None, pl.String(), block.height)


def _repeated(value: str | None, dtype: pl.DataType, height: int) -> pl.Series:
    return pl.Series([value], dtype=dtype).new_from_index(0, height)
