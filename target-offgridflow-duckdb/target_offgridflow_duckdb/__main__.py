"""Lets the target run as ``python -m target_offgridflow_duckdb``."""

from __future__ import annotations

from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb

TargetOffgridflowDuckdb.cli()
