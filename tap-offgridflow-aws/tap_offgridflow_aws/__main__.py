"""Where the tap starts: its command, and ``python -m tap_offgridflow_aws``."""

from __future__ import annotations

from offgridflow_common.ending import ending_at_once
from offgridflow_common.memory import reuse_memory
from offgridflow_common.startup import imports_kept


def main() -> None:
    """Run the tap from the command line."""
    with ending_at_once():
        reuse_memory()
        with imports_kept():
            from tap_offgridflow_aws.tap import TapOffgridflowAws  # noqa: PLC0415 - what is to be kept

        TapOffgridflowAws.cli()


if __name__ == "__main__":
    main()
