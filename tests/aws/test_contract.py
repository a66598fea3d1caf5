"""The AWS tap keeps the contract of all taps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from offgridflow_common.testing.contract import TapContract
from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws import everything
from tests.local_clouds.exports import S3Store

if TYPE_CHECKING:
    from tests.aws.conftest import Config
    from tests.local_clouds.sustainability import SustainabilityServer


class TestTapOffgridflowAws(TapContract):
    tap_class: ClassVar = TapOffgridflowAws

    @pytest.fixture
    def config(
        self,
        s3: Any,
        bucket: str,
        sustainability: SustainabilityServer,
        tap_config: Config,
        monkeypatch: pytest.MonkeyPatch,
    ) -> dict[str, Any]:
        monkeypatch.setattr(TapOffgridflowAws, "started_at", datetime(2026, 11, 15, tzinfo=UTC))
        return tap_config(**everything.publish(S3Store(s3, bucket), sustainability))
