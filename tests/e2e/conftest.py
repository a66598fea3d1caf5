"""What the end-to-end tests share: things that take seconds to make are made once per session."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from uv import find_uv_bin

from demo.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).parents[2]

#: A loader of others, and what it reads Parquet with.
CSV_LOADER = ("meltanolabs-target-csv==0.5.0", "pyarrow==26.0.1")


class Once(Protocol):
    def __call__(self, name: str, make: Callable[[Path], None]) -> Path: ...


class Home(Protocol):
    def __call__(self, folder: Path) -> Path: ...


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder, or finds the one that another worker of this session made."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


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

    def install(folder: Path) -> None:
        uv = (find_uv_bin(), "--quiet")
        environment = folder / "venv"
        subprocess.run([*uv, "venv", "--python", sys.executable, environment], check=True)
        python = environment / "bin" / "python"
        subprocess.run([*uv, "pip", "install", "--python", python, *CSV_LOADER], check=True)

    return once("target-csv", install) / "venv" / "bin" / "target-csv"
