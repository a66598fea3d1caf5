"""Where the target starts: its command, and ``python -m target_offgridflow_duckdb``."""

from __future__ import annotations

import gc
import sys

from offgridflow_common.ending import ending_at_once
from offgridflow_common.errors import OffGridFlowError
from offgridflow_common.startup import imports_kept


def main() -> None:
    """Run the target from the command line."""
    with ending_at_once():
        with imports_kept():
            from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb  # noqa: PLC0415 - what is to be kept

        try:
            TargetOffgridflowDuckdb.cli()
        except OffGridFlowError as error:
            # Its message says what to do; how it came here is for errors that were not foreseen.
            TargetOffgridflowDuckdb.logger.error("%s", error)
            sys.exit(1)
        finally:
            # After an error that was not foreseen, DuckDB's binding reports frozen objects as leaks.
            gc.unfreeze()


if __name__ == "__main__":
    main()
