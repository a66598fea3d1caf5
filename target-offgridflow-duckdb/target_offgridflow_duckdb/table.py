"""A table: made and widened to take a stream's columns, loaded by key or by appending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from offgridflow_common.errors import BadRequestError
from target_offgridflow_duckdb.columns import (
    INSTANT,
    TEXT,
    JsonDecoding,
    given_back,
    instant,
    is_integer,
    rounds,
    widest,
)
from target_offgridflow_duckdb.database import folded, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from target_offgridflow_duckdb.columns import Column
    from target_offgridflow_duckdb.database import Database

#: Dates, and instants that are the begin of a day: of others, DuckDB would take the day and drop the rest.
_DAY: Final = r"\s*\d{1,6}-\d{1,2}-\d{1,2}([Tt ]00:00(:00(\.0+)?)?([Zz]|[+-]00(:?00)?)?)?\s*"
#: What is loaded, in the types of the table.
_INCOMING: Final = "_incoming"
_TYPES_QUERY: Final = """
    SELECT column_name, data_type FROM duckdb_columns()
    WHERE database_name = current_database()
        AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)
"""


class Table:
    """A table of a stream.

    No index is put on the key: DuckDB finds rows by scanning key columns, whose smallest and largest values
    it knows for each part of the table, and an index of a large table would have to fit into memory.

    Args:
        database: Where it is.
        schema: Its schema.
        name: Its name in the schema.
    """

    def __init__(self, database: Database, schema: str, name: str) -> None:
        self._database = database
        self._place = (schema, name)
        # With the database's name, lest a schema is taken for a database, or a temporary view for a table.
        self._schema = f"{quoted(database.name)}.{quoted(schema)}"
        self._table = f"{self._schema}.{quoted(name)}"
        self._types: dict[str, str] = {}
        #: What a stream declares, which may be narrower.
        self._declared: dict[str, str] = {}

    def __str__(self) -> str:
        return ".".join(self._place)

    def prepare(self, columns: Sequence[Column], keys: Collection[str] = ()) -> None:
        """Make the table, or add the columns that it lacks and widen those that are too narrow.

        Args:
            columns: Those of the stream.
            keys: Names of its key columns.

        Raises:
            BadRequestError: A name is none that a column can have, or DuckDB, to which case in names is
                nothing, cannot tell two columns apart; or what a column holds would change with its type.
            FatalError: DuckDB refused it.
        """
        self._refuse_names(columns)
        self._declared |= {folded(column.name): column.sql_type for column in columns}
        with self._database.transaction(f"preparing table {self}"):
            self._read_types()
            self._refuse_other_keys(column for column in columns if column.name in keys)
            for statement in self._changes(columns):
                self._database.run(statement)
            self._read_types()

    def load(self, source: str, values: Mapping[str, str], *, keys: Sequence[str], unless: str) -> int:
        """Insert rows within the transaction that is open; with keys, in place of those of the same keys.

        Of rows with the same keys in the source, the last stays. Columns that no value is given for keep
        what they hold.

        Args:
            source: A relation in SQL.
            values: What goes into each column, in SQL, by the column's name.
            keys: Names of the key columns; none to append.
            unless: The condition in SQL of rows that only take away those of the same keys.

        Returns:
            How many rows of the table are new or were changed.
        """
        typed = ", ".join(f"{self._typed(name, value)} AS {quoted(name)}" for name, value in values.items())
        self._database.run(f"CREATE OR REPLACE TEMP VIEW {_INCOMING} AS SELECT {typed} FROM {source}")
        if not keys:
            return self._insert(_INCOMING, unless)
        rows, same = self._rows_by_key(list(map(quoted, keys)))
        if self._types.keys() - set(map(folded, values)):
            return self._merge(rows, same, list(map(quoted, values)), unless)
        # With USING, DuckDB would read all columns of what is new, and carry them along.
        again = f"EXISTS (SELECT 1 FROM {_INCOMING} AS new WHERE {same})"
        self._database.run(f"DELETE FROM {self._table} AS old WHERE {again}")
        return self._insert(rows, unless)

    def truncate(self) -> None:
        """Delete all rows."""
        with self._database.transaction(f"emptying table {self}"):
            self._database.run(f"DELETE FROM {self._table}")

    def retire(self, version: int, version_column: str, deleted_column: str, *, hard: bool) -> None:
        """Delete the rows of earlier versions, or mark them as deleted now."""
        old, deleted = f"{quoted(version_column)} < ?", quoted(deleted_column)
        with self._database.transaction(f"activating version {version} of table {self}"):
            if hard:
                self._database.run(f"DELETE FROM {self._table} WHERE {old}", [version])
            else:
                self._database.run(
                    f"UPDATE {self._table} SET {deleted} = now() WHERE {old} AND {deleted} IS NULL", [version]
                )

    def _typed(self, name: str, value: str) -> str:
        """A value in the type of its column, which refuses numbers that it would round."""
        present = self._types[folded(name)]
        declared = self._declared.get(folded(name), present)
        if declared == INSTANT and present != TEXT:
            # A timestamp without zone, as others may have made it, would take an instant's local time.
            value = instant(value)
        typed, exact = f"CAST({value} AS {present})", f"CAST({value} AS {declared})"
        if present == "DATE":
            text = f"CAST({value} AS {TEXT})"
            problem = f" is no date, as column `{name}` takes them: `date-time` would keep the time"
            return (
                f"CASE WHEN {value} IS NULL OR regexp_full_match({text}, '{_DAY}') THEN {typed} "
                f"ELSE error({text} || {literal(problem)}) END"
            )
        if not rounds(present, declared):
            return typed
        problem = (
            f" would be rounded in column `{name}`, which is {present}: ALTER it in the database to "
            f"DECIMAL or {TEXT}, which keep all digits"
        )
        return (
            f"CASE WHEN {given_back(exact, declared, present)} IS DISTINCT FROM {exact} "
            f"THEN error({exact} || {literal(problem)}) ELSE {typed} END"
        )

    def _rows_by_key(self, keys: Sequence[str]) -> tuple[str, str]:
        """A relation with one row for each key, and the condition that an old and a new row have the same."""
        run, among = self._database.run, ", ".join(keys)
        ((rows, *filled),) = run(
            f"SELECT count(*), {', '.join(f'count({key})' for key in keys)} FROM {_INCOMING}"
        )
        ((distinct,),) = run(f"SELECT count(*) FROM (SELECT DISTINCT {among} FROM {_INCOMING})")
        # Where no null has to match a null, DuckDB skips the parts of the table that hold other keys.
        same = " AND ".join(
            f"old.{key} {'=' if count == rows else 'IS NOT DISTINCT FROM'} new.{key}"
            for key, count in zip(keys, filled, strict=True)
        )
        if distinct == rows:
            return _INCOMING, same
        last = (
            "SELECT * EXCLUDE (_sdc_place) "
            f"FROM (SELECT *, row_number() OVER () AS _sdc_place FROM {_INCOMING}) "
            f"QUALIFY row_number() OVER (PARTITION BY {among} ORDER BY _sdc_place DESC) = 1"
        )
        return f"({last})", same

    def _insert(self, rows: str, unless: str) -> int:
        statement = f"INSERT INTO {self._table} BY NAME SELECT * FROM {rows} WHERE NOT ({unless})"
        ((count,),) = self._database.run(statement)
        return int(count)

    def _merge(self, rows: str, same: str, names: Sequence[str], unless: str) -> int:
        changes = ", ".join(f"{name} = new.{name}" for name in names)
        ((count,),) = self._database.run(f"""
            MERGE INTO {self._table} AS old
            USING (SELECT *, {unless} AS _sdc_unless FROM {rows}) AS new ON {same}
            WHEN MATCHED AND new._sdc_unless THEN DELETE
            WHEN MATCHED THEN UPDATE SET {changes}
            WHEN NOT MATCHED AND NOT new._sdc_unless
                THEN INSERT ({", ".join(names)}) VALUES ({", ".join(f"new.{name}" for name in names)})
        """)
        return int(count)

    def _changes(self, columns: Iterable[Column]) -> Iterable[str]:
        """The statements that make the table fit the columns."""
        if not self._types:
            yield f"CREATE SCHEMA IF NOT EXISTS {self._schema}"
            declared = ", ".join(f"{quoted(column.name)} {column.sql_type}" for column in columns)
            yield f"CREATE TABLE {self._table} ({declared})"
            return
        for column in columns:
            name, present = quoted(column.name), self._types.get(folded(column.name))
            if present is None:
                yield f"ALTER TABLE {self._table} ADD COLUMN {name} {column.sql_type}"
            elif (needed := widest(present, column.sql_type)) != present:
                self._refuse_loss(column.name, present, needed)
                yield f"ALTER TABLE {self._table} ALTER COLUMN {name} SET DATA TYPE {needed}"

    def _refuse_other_keys(self, keys: Iterable[Column]) -> None:
        """Refuse keys of numbers or times that become texts, and numbers where keys are texts."""
        for column in keys:
            present = self._types.get(folded(column.name), column.sql_type)
            needed = widest(present, column.sql_type)
            become_texts = needed == TEXT != present and not is_integer(present)
            were_texts = present == TEXT and column.decoding in (JsonDecoding.NUMBER, JsonDecoding.DIGITS)
            if (become_texts or were_texts) and self._database.run(f"SELECT 1 FROM {self._table} LIMIT 1"):
                raise BadRequestError(
                    asked=f"preparing table {self}",
                    got=f"key `{column.name}` of type {present}, which is {column.sql_type} now: as texts, "
                    "equal keys are spelled in two ways, and rows would be there twice",
                    do="keep the property's type with the tap's extra `schema` in Meltano, or load into a "
                    "new table",
                )

    def _refuse_loss(self, column: str, present: str, needed: str) -> None:
        """Refuse a type that does not give back what a column holds; in it, keys may even be the same."""
        if needed == TEXT:
            return
        name = quoted(column)
        ((count, example),) = self._database.run(
            f"SELECT count(*), CAST(min({name}) AS {TEXT}) FROM {self._table} "
            f"WHERE {given_back(name, present, needed)} IS DISTINCT FROM {name}"
        )
        if count:
            raise BadRequestError(
                asked=f"preparing table {self}",
                got=f"column `{column}` would become {needed}, which changes values of {present} that it "
                f"holds: {count:,}, such as {example}",
                do="give the property a `multipleOf`, or `string` as one more type, with the tap's extra "
                "`schema` in Meltano: exact decimals and texts keep all digits",
            )

    def _read_types(self) -> None:
        rows = self._database.run(_TYPES_QUERY, self._place)
        self._types = {folded(name): sql_type for name, sql_type in rows}

    def _refuse_names(self, columns: Iterable[Column]) -> None:
        names: dict[str, str] = {}
        for column in columns:
            if "\0" in column.name:
                raise BadRequestError(
                    asked=f"preparing table {self}",
                    got=f"a property {column.name!r}: no name of a column holds a NUL",
                    do="rename it with a stream map",
                )
            other = names.setdefault(folded(column.name), column.name)
            if other != column.name:
                raise BadRequestError(
                    asked=f"preparing table {self}",
                    got=f"two properties, `{other}` and `{column.name}`, whose names differ in case only",
                    do="rename one of them with a stream map",
                )
