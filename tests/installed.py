"""What takes seconds to make is made once per session, such as programs in environments of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import pytest
from uv import find_uv_bin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Once(Protocol):
    def __call__(self, name: str, make: Callable[[Path], None]) -> Path: ...


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


def installed(once: Once, program: str, *requirements: str) -> Path:
    """A program of others, in an environment of its own.

    Args:
        once: Makes it if it is not there yet.
        program: Its name.
        *requirements: What is installed, with versions.
    """

    def install(folder: Path) -> None:
        uv = (find_uv_bin(), "--quiet")
        environment = folder / "venv"
        subprocess.run([*uv, "venv", "--python", sys.executable, environment], check=True)
        python = environment / "bin" / "python"
        subprocess.run([*uv, "pip", "install", "--python", python, *requirements], check=True)

    return once(program, install) / "venv" / "bin" / program
