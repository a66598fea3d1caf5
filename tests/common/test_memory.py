"""Memory is used again: what one block needed is not asked of the system once more for the next one."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from offgridflow_common.memory import reuse_memory

TAPS = ["tap_offgridflow_aws", "tap_offgridflow_azure"]

#: Pages that the system hands out while blocks come and go, after the first few.
COUNT_PAGES = """
import resource
def block():
    return [b'x' * (24 * 1024**2) for _ in range(2)]
for _ in range(3):
    block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
#: Runs a tap to the end, and tells what polars' allocator was told, if polars was not loaded before.
ASK_VERSION = """
import os, sys
from {tap}.__main__ import main
assert "polars" not in sys.modules
sys.argv[1:] = ["--version"]
try:
    main()
finally:
    assert "polars" in sys.modules
    print(os.environ["_RJEM_MALLOC_CONF"])
"""
REUSE = "from offgridflow_common.memory import reuse_memory; reuse_memory()\n"


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"} | env
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_pages_of_one_block_serve_the_next() -> None:
    pages = 2 * 24 * 1024**2 // os.sysconf("SC_PAGE_SIZE")
    assert int(run(COUNT_PAGES).stdout) > 4 * pages, "the test shows nothing: they do so by themselves"
    assert int(run(REUSE + COUNT_PAGES).stdout) < pages / 10


@pytest.mark.parametrize("tap", TAPS)
def test_each_tap_tells_polars_before_it_is_loaded(tap: str) -> None:
    done = run(ASK_VERSION.format(tap=tap))
    assert "dirty_decay_ms:2000" in done.stdout.splitlines()[-1]
    assert done.stderr == "", "jemalloc complains of what it does not understand"


def test_what_the_environment_says_counts() -> None:
    said = run(ASK_VERSION.format(tap=TAPS[0]), _RJEM_MALLOC_CONF="narenas:3").stdout.splitlines()[-1]
    assert said.endswith("narenas:3")
    assert "2000" not in said


@pytest.mark.parametrize("library", [object(), None], ids=["has no mallopt", "is not to be had"])
def test_where_the_c_library_is_another_nothing_happens(
    library: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_name: None) -> object:
        if library is None:
            raise TypeError("expected a name")
        return library

    monkeypatch.setenv("_RJEM_MALLOC_CONF", "narenas:3")
    monkeypatch.setattr(ctypes, "CDLL", load)
    reuse_memory()
    assert os.environ["_RJEM_MALLOC_CONF"] == "narenas:3"
