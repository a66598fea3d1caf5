"""The Azure tap keeps the contract of all taps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from offgridflow_common.testing.contract import TapContract
from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure import everything

if TYPE_CHECKING:
    from pathlib import Path

    from tests.azure.conftest import Config
    from tests.local_clouds.azure import LocalAzure


class TestTapOffgridflowAzure(TapContract):
    tap_class: ClassVar = TapOffgridflowAzure

    @pytest.fixture
    def config(
        self, azure: LocalAzure, tap_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> dict[str, Any]:
        now = datetime(2026, 11, 15, tzinfo=UTC)
        monkeypatch.setattr(TapOffgridflowAzure, "started_at", now)
        return tap_config(**everything.publish(azure, tmp_path / "container", now))
