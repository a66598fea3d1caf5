"""What the tests of the DuckDB target share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.target_duckdb.loading import Loader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine knows about AWS, MotherDuck and the target stays outside."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TARGET_", "motherduck_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    """Loads into a database that is not there yet."""
    return Loader(tmp_path / "loaded.duckdb", {})
