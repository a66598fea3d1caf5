"""The loader as a program in which something happens that nobody foresaw."""

from __future__ import annotations

from target_offgridflow_duckdb.__main__ import main
from target_offgridflow_duckdb.database import Database


def run(*_: object) -> list[tuple[object, ...]]:
    """Break down."""
    raise RuntimeError("nobody foresaw this")


if __name__ == "__main__":
    Database.run = run
    main()
