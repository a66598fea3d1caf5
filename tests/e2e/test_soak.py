"""A few of the kills of ``make soak``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.soak import soak

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Home


def test_kills_at_random_moments_lose_nothing_and_double_nothing(meltano_home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "soak"
    folder.mkdir()
    outcome = soak(folder, meltano_home(tmp_path), kills=4, seed=7)
    assert outcome.killed > 0
