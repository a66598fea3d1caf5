"""What is started at most once in a process and shared by the tests of several folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_clouds.azure_tls import LocalAuthority
from tests.local_clouds.azurite import Azurite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    """Whose certificate all stand-ins of a process can have, so that one CA bundle is enough."""
    return LocalAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def azurite(authority: LocalAuthority) -> Iterator[Azurite]:
    """Blob Storage; tests create containers of their own in it."""
    with Azurite(authority) as running:
        yield running
