"""The loader as a program whose commits take long and whose files wait for few others, to be killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from target_offgridflow_duckdb import batch_files
from target_offgridflow_duckdb.database import Database
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb

if TYPE_CHECKING:
    from collections.abc import Sequence

PAUSE = 0.02
_run = Database.run


def run(self: Database, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement; before a commit, pause."""
    if statement == "COMMIT":
        time.sleep(PAUSE)
    return _run(self, statement, parameters)


if __name__ == "__main__":
    Database.run = run
    batch_files._TOGETHER_BYTES = 5_000
    TargetOffgridflowDuckdb.cli()
