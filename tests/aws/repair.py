"""A month that cannot be read between two that can: what the run says, and that nothing is lost by it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.aws.bench import line_items

if TYPE_CHECKING:
    from tests.aws.bench import Bench
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

GOOD, BROKEN, LATER = "2026-07", "2026-08", "2026-09"


def fails(run: Run, *parts: str) -> None:
    """The run fails with one message that says all of these, and reports the stream as failed."""
    assert run.exit_code == 1
    lines = [line for line in run.stderr.splitlines() if all(part in line for part in parts)]
    assert lines, f"no line with {parts} in:\n{run.stderr}"
    assert re.search(r"\d of \d streams failed: .*cost_and_usage", run.stderr)
    assert "Traceback" not in run.stderr
    assert "AKIAIOSFODNN7EXAMPLE" not in run.stderr
    assert "local-secret-of-nobody" not in run.stderr


def repaired(bench: Bench, failed: Run) -> None:
    """What was broken counts as unread: after a new delivery it comes whole, and what was good stays read."""
    assert [row["billing_period"] for row in failed.records("deliveries")] == [GOOD]
    bench.aws.proxy.clear_faults()
    bench.publish(BROKEN, items(11))
    after = bench.read(failed.state)
    assert [row["billing_period"] for row in after.records("deliveries")] == [LATER, BROKEN]
    assert {record["billing_period"] for record in after.records()} == {BROKEN, LATER}
    assert sum(record["billing_period"] == BROKEN for record in after.records()) == 11


def items(count: int) -> Any:
    """A small table, with text that does not get much smaller in a file."""
    return line_items(line_item_resource_id=[f"i-{number**9:030x}" for number in range(count)])


def three_months(bench: Bench, **options: Any) -> PublishedDelivery:
    """Good months before and after the one that is to break, which is returned."""
    bench.publish(GOOD, items(5))
    broken = bench.publish(BROKEN, items(40), chunks=3, **options)
    bench.publish(LATER, items(6))
    return broken
