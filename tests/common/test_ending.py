"""A program ends at once when it exits: with its exit code, and when all that waits for its end is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
PROGRAM = """
import atexit, sys, threading, time
from offgridflow_common.ending import ending_at_once

class Kept:
    def __del__(self):
        print("cleared away")

kept = Kept()

def main():
    with ending_at_once():
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
        print("main")
        {ending}

main()
"""


def run(ending: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("ending", "code"), [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit(143)", 143)]
)
def test_all_that_waits_for_the_end_is_done_and_nothing_is_cleared_away(ending: str, code: int) -> None:
    done = run(ending)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.split("\n") == ["main", "thread", "at exit", ""]


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("pass", 0, ""),
        ("sys.exit('no such file')", 1, "no such file"),
        ("raise KeyError(7)", 1, "KeyError: 7"),
    ],
)
def test_other_endings_are_as_ever(ending: str, code: int, told: str) -> None:
    done = run(ending)
    assert done.returncode == code
    assert done.stderr.strip().split("\n")[-1] == told
    assert done.stdout.split("\n") == ["main", "thread", "at exit", "cleared away", ""]


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_what_cannot_be_written_is_not_hidden() -> None:
    """The interpreter says it, and ends with a code of its own."""
    program = [sys.executable, "-c", PROGRAM.format(ending="sys.exit(0)")]
    with FULL.open("w") as full:
        done = subprocess.run(
            program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
