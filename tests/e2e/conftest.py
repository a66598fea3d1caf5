"""What the end-to-end tests share: things that take seconds to make are made once per session."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from demo.pipeline import Pipeline
from tests.installed import installed

if TYPE_CHECKING:
    from tests.installed import Once

PROJECT = Path(__file__).parents[2]

#: A loader of others, and what it reads Parquet with.
CSV_LOADER = ("meltanolabs-target-csv==0.5.0", "pyarrow==26.0.1")


class Home(Protocol):
    def __call__(self, folder: Path) -> Path: ...


@pytest.fixture(scope="session")
def plugins(once: Once) -> Path:
    """The tap and the loader as `meltano.yml` installs them, in a folder beside the checkout's own."""

    def install(folder: Path) -> None:
        shutil.copy(PROJECT / "meltano.yml", folder / "meltano.yml before")
        Pipeline(PROJECT, folder, {}, waiting=lambda _: None, home=folder).command("install")

    return once("plugins", install)


@pytest.fixture(scope="session")
def meltano_home(plugins: Path) -> Home:
    """Gives a folder to Meltano in which the plugins are there and all else is the test's own."""

    def make(folder: Path) -> Path:
        home = folder / "home"
        home.mkdir()
        for kind in ("extractors", "loaders"):
            (home / kind).symlink_to(plugins / kind)
        return home

    return make


@pytest.fixture(scope="session")
def csv_loader(once: Once) -> Path:
    """meltanolabs-target-csv, in an environment of its own."""
    return installed(once, "target-csv", *CSV_LOADER)
