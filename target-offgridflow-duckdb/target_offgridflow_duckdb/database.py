"""The database: one connection, on which everything happens in transactions, one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import duckdb

from offgridflow_common.errors import BadRequestError, FatalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import polars as pl

_AGENT: Final = "target-offgridflow-duckdb"
_CHECKPOINT: Final = "64MB"
#: The name of the frame that is being loaded.
_ARRIVING: Final = "_arriving"


class Database:
    """A connection to a DuckDB file, or to MotherDuck, that is opened when it is first needed.

    Args:
        path: The file, or ``md:`` and a database's name.
        token: Signs in to MotherDuck.
        memory_limit: How much memory DuckDB may use.
        when_failed: Called, from another thread, as soon as rows that are loaded aside cannot be.
    """

    def __init__(
        self,
        path: str,
        token: str | None = None,
        memory_limit: str | None = None,
        *,
        when_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._when_failed = when_failed
        given = {"custom_user_agent": _AGENT, "motherduck_token": token, "memory_limit": memory_limit}
        self._config: dict[str, Any] = {name: value for name, value in given.items() if value}
        #: How many transactions with rows are committed, or will be as soon as they are done.
        self.loads = 0
        #: How many rows the transaction has that is still open for more.
        self.open_rows = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._under_way: Future[None] | None = None

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(self._path, config=self._config)
        except duckdb.Error as error:
            raise BadRequestError(
                asked=f"opening {self._path.partition('?')[0]}",
                got=_first_line(error),
                do="check `path`, and that no other process has the file open: one at a time can write to it",
            ) from error
        if not self._path.startswith("md:") and not self._is_kept(connection):
            connection.close()
            raise BadRequestError(
                asked=f"opening {self._path}",
                got="a database that is gone with the run, as DuckDB makes one of files in other formats",
                do="let `path` name a file of DuckDB's own, or one that is not there yet",
            )
        # Times without zone are UTC, wherever the loader runs. Small loads come to rest together: to rewrite
        # the last part of a table after each of them would take longer than all else.
        for setting in ("TimeZone = 'UTC'", f"wal_autocheckpoint = '{_CHECKPOINT}'"):
            connection.execute(f"SET {setting}").fetchall()
        return connection

    @staticmethod
    def _is_kept(connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the database is in a file."""
        query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
        return any(path for (path,) in connection.execute(query).fetchall())

    @cached_property
    def name(self) -> str:
        """What statements call the database."""
        return str(self.run("SELECT current_database()")[0][0])

    def close(self) -> None:
        """Wait for what is under way, whatever becomes of it, and close the connection if there is one."""
        self._worker.shutdown()
        if "_connection" in vars(self):
            self._connection.close()

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement to its end and give its rows."""
        rows: list[tuple[Any, ...]] = self._connection.execute(statement, parameters).fetchall()
        return rows

    @contextmanager
    def transaction(self, asked: str) -> Iterator[None]:
        """Commit what happens in this context, or nothing of it; what is under way comes first.

        Raises:
            FatalError: DuckDB refused it, or what was under way.
        """
        self.settle()
        with self._atomic(asked):
            yield

    @contextmanager
    def loading(self, asked: str) -> Iterator[None]:
        """Commit the rows that are loaded in this context, or none of them."""
        with self.transaction(asked):
            self.loads += 1
            yield

    def load_aside(self, asked: str, load: Callable[[], object], *, rows: int, enough: int) -> None:
        """Load rows while the caller goes on reading more.

        The transaction stays open for what is loaded aside next, until it has enough rows, or :meth:`settle`.

        Raises:
            FatalError: What was under way before failed.
        """
        self._wait()
        begins = self.open_rows == 0
        self.open_rows += rows
        ends = self.open_rows >= enough

        def work() -> None:
            try:
                with self._atomic(asked, begins=begins, ends=ends):
                    load()
            except BaseException:
                self._when_failed()
                raise

        self._under_way = self._worker.submit(work)
        if ends:
            self.loads += 1
            self.open_rows = 0

    def settle(self) -> None:
        """Wait for what is under way and commit it, and raise the error that it ended with, if any."""
        self._wait()
        if self.open_rows:
            rows, self.open_rows = self.open_rows, 0
            with self._atomic(f"committing {rows:,} rows", begins=False):
                self.loads += 1

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    @contextmanager
    def _atomic(self, asked: str, *, begins: bool = True, ends: bool = True) -> Iterator[None]:
        if begins:
            self.run("BEGIN TRANSACTION")
        try:
            yield
            if ends:
                self.run("COMMIT")
        except duckdb.Error as error:
            self._rollback()
            raise FatalError(
                asked=asked,
                got=_first_line(error),
                do="nothing of it was written, nor what the same transaction held already; "
                "what was committed before is good, and state does not pass it",
            ) from error
        except BaseException:
            self._rollback()
            raise

    def arrive(self, frame: pl.DataFrame) -> str:
        """Make a frame known to statements, in place of the one before; gives its name."""
        self._connection.register(_ARRIVING, _Arrow(frame))
        return _ARRIVING

    def types_of(self, relation: str) -> dict[str, str]:
        """The columns of a relation in SQL, with their types as DuckDB spells them."""
        return dict(self.run(f"SELECT column_name, column_type FROM (DESCRIBE FROM {relation})"))

    def _rollback(self) -> None:
        self.open_rows = 0
        # DuckDB has already done it where the transaction itself broke.
        try:
            self.run("ROLLBACK")
        except duckdb.TransactionException:
            return


class _Arrow:
    """A frame as nothing but a source of Arrow data, which DuckDB reads without pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def folded(name: str) -> str:
    """A name as DuckDB compares it: case does not count, of ASCII letters."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def quoted(name: str) -> str:
    """An identifier in SQL, whatever it is made of."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int) -> str:
    """A value in SQL."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
