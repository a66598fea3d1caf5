"""`python -m demo`: see `make demo`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo.errors import DemoError
from demo.screen import Screen
from demo.story import Size, Story

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROJECT = Path(__file__).parents[1]
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0 if everything landed, 1 if something did not or a step failed, 130 if it was interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="AWS and Azure into DuckDB, all on this machine."
    )
    parser.add_argument("--rows", type=int, default=20_000, help="line items of a month")
    parser.add_argument("--output", type=Path, default=_PROJECT / "output", help="folder for the database")
    options = parser.parse_args(arguments)
    return _tell(options.rows, options.output.resolve())


def _tell(rows: int, output: Path) -> int:
    for name in _ENDINGS:
        signal.signal(name, _interrupt)
    try:
        with Story(_PROJECT, output, Screen(sys.stdout), Size(rows)) as story:
            return 0 if story.tell() else 1
    except DemoError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; everything that was started has been stopped.\n")
        return 130


def _interrupt(*_: object) -> None:
    # Who passes signals on may do it twice, and the second must not disturb the cleaning up.
    for name in _ENDINGS:
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
