"""The tables of a run: which one a stream goes to, and which are emptied when it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from offgridflow_common.errors import BadRequestError
from target_offgridflow_duckdb.database import folded
from target_offgridflow_duckdb.table import Table

if TYPE_CHECKING:
    from target_offgridflow_duckdb.database import Database

#: Parts of a stream's name that have a meaning: schema and table, or database, schema and table.
_NAME_PARTS: Final = (2, 3)


class Tables:
    """The tables of a run.

    Args:
        database: Where they are.
        schema: The schema of all of them; without one, streams say it in their names: ``schema-table``.
        overwrite: Whether a run empties them first.
    """

    def __init__(self, database: Database, schema: str | None, *, overwrite: bool) -> None:
        #: Where they are.
        self.database = database
        self._schema = schema
        self._overwrite = overwrite
        self._streams: dict[tuple[str, str], str] = {}
        self._begun: set[str] = set()
        #: The version of each stream's table that its messages told last.
        self.versions: dict[str, int] = {}

    def of(self, stream: str) -> Table:
        """The table of a stream, which no other stream of the run goes to.

        Raises:
            BadRequestError: The name of another one leads to the same table.
        """
        parts = stream.split("-")
        schema, name = parts[-2:] if len(parts) in _NAME_PARTS else ("main", stream)
        schema = self._schema or schema
        other = self._streams.setdefault((folded(schema), folded(name)), stream)
        if other != stream:
            raise BadRequestError(
                asked=f"loading stream {stream}",
                got=f"stream {other} already goes to the table {schema}.{name}",
                do="unset `default_target_schema`, or give one of them another name with a stream map",
            )
        return Table(self.database, schema, name)

    def begin(self, table: Table) -> None:
        """Empty a table, if the run shall and has not done so yet."""
        if self._overwrite and str(table) not in self._begun:
            table.truncate()
        self._begun.add(str(table))
