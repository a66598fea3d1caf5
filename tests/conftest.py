"""What the tests of several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offgridflow_common.clock import SystemClock
from offgridflow_common.testing.clock import FakeClock
from tests.installed import once
from tests.local_clouds.azure_tls import LocalAuthority
from tests.local_clouds.azurite import Azurite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A fixture of its own file.
__all__ = ["once"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    """Whose certificate all stand-ins of a process can have, so that one CA bundle is enough."""
    return LocalAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def azurite(authority: LocalAuthority) -> Iterator[Azurite]:
    """Blob Storage; tests create containers of their own in it."""
    with Azurite(authority) as running:
        yield running


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    """The folder that the tap's spool is made in."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Nobody waits any more: sleeping only moves this clock, which every default clock now goes by."""
    fake = FakeClock(start=SystemClock().now())
    for name in ("monotonic", "now"):
        monkeypatch.setattr(SystemClock, name, lambda _self, name=name: getattr(fake, name)())
    monkeypatch.setattr(SystemClock, "sleep", lambda _self, *arguments: fake.sleep(*arguments))
    return fake
