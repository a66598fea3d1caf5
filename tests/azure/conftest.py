"""What tests of the Azure tap share: the local cloud, configurations of it, and the tap itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.azure.answers import ONE
from tests.azure.asking import CREDENTIALS
from tests.azure.driving import Run, catalog, command, run_here, run_process
from tests.azure.shelf import Shelf
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_discovery import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


class RunTap(Protocol):
    """Runs the tap with some streams selected, and waits for its end."""

    def __call__(
        self,
        config: Mapping[str, Any],
        select: Iterable[str],
        state: Mapping[str, Any] | None = None,
        *,
        as_process: bool = False,
    ) -> Run: ...


class Surround(Protocol):
    """Sets variables of the environment for the rest of the test."""

    def __call__(self, variables: Mapping[str, str]) -> None: ...


class Config(Protocol):
    """Makes a configuration: the local cloud's addresses and secrets, fast limits, and settings over them."""

    def __call__(self, **settings: Any) -> dict[str, Any]: ...


@pytest.fixture(autouse=True)
def _no_azure_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine knows about Azure stays outside."""
    prefixes = ("AZURE_", "TAP_OFFGRIDFLOW_", "IDENTITY_", "MSI_")
    for name in [name for name in os.environ if name.startswith(prefixes)]:
        monkeypatch.delenv(name)


@pytest.fixture
def azure() -> Iterator[LocalAzure]:
    """A local cloud of the test's own; nothing is published yet."""
    with LocalAzure() as running:
        yield running


@pytest.fixture
def tap_config(azure: LocalAzure, spool_dir: Path) -> Config:
    """Configurations without exports."""

    def make(**settings: Any) -> dict[str, Any]:
        return {
            **azure.settings,
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
            "spool_dir": str(spool_dir),
            **settings,
        }

    return make


@pytest.fixture
def nobody(tap_config: Config) -> Config:
    """Configurations that say nothing about who the tap is."""

    def make(**settings: Any) -> dict[str, Any]:
        return {name: value for name, value in tap_config().items() if name not in CREDENTIALS} | settings

    return make


@pytest.fixture
def surround(monkeypatch: pytest.MonkeyPatch) -> Surround:
    """Sets variables of the environment."""

    def set_all(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def run_tap(tmp_path: Path) -> RunTap:
    """Runs the tap."""

    def run(
        config: Mapping[str, Any],
        select: Iterable[str],
        state: Mapping[str, Any] | None = None,
        *,
        as_process: bool = False,
    ) -> Run:
        selection = catalog(select)
        if as_process:
            return run_process(command(tmp_path, config, state, selection), os.environ)
        return run_here(config, state, selection)

    return run


@pytest.fixture
def shelf(tmp_path: Path, spool_dir: Path, run_tap: RunTap) -> Shelf:
    """A folder of exports; nothing is published yet."""
    return Shelf(tmp_path / "container", spool_dir, run_tap)


@pytest.fixture
def read_usage(shelf: Shelf, azure: LocalAzure, tap_config: Config) -> Callable[..., Run]:
    """Makes activities of exports of some types, which must succeed; there are no emissions."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.carbon.available = ("2026-08", "2026-09")

    def read(*types: str, **options: Any) -> Run:
        settings = tap_config(auth_method="client_secret")
        return shelf.read(*types, select=("activities", "deliveries"), **(settings | options))

    return read
