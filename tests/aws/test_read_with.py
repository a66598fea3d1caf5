"""What a run is told when it is set up otherwise than the one before, whose rows stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import PERIOD
from tests.aws.driving import LINE_ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.aws.bench import Bench
    from tests.aws.driving import Run

OVERRIDES = "kind,provider,key,offgridflow_category\nservice,aws,AmazonLightsail,cloud_compute_containers\n"


def told(run: Run) -> list[str]:
    """What each warning of the kind names."""
    lines = [line for line in run.stderr.splitlines() if "What was read before stays" in line]
    return [line.partition("selected then: ")[2].partition(". `meltano")[0] for line in lines]


def test_columns_that_are_selected_later_are_told_once(bench: Bench) -> None:
    bench.publish(PERIOD, 5)

    def read(state: dict[str, Any] | None, unwanted: Iterable[str]) -> Run:
        return bench.read(state, deselect={LINE_ITEMS: unwanted})

    first = read(None, ["resource_tags", "product", "tags"])
    fewer = read(first.state, ["resource_tags", "product", "tags", "cost_category"])
    more = read(fewer.state, ["product"])
    again = read(more.state, ["product"])
    assert [told(run) for run in (first, fewer, more, again)] == [
        [],
        [],
        ["cost_category, resource_tags, tags"],
        [],
    ]
    assert more.records() == []


@pytest.mark.parametrize(
    ("setting", "value", "other"),
    [("activity_grain", "month", "day"), ("org_id", None, "acme"), ("workspace_id", "one", None)],
)
def test_settings_that_change_activities_are_told_once(
    setting: str, value: str | None, other: str | None, bench: Bench
) -> None:
    bench.publish(PERIOD, 5)
    runs = []
    state = None
    for now in (value, value, other, other):
        config = bench.config(**({setting: now} if now else {}))
        runs.append(bench.read(state, select=["activities"], config=config))
        state = runs[-1].state
    assert [told(run) for run in runs] == [[], [], [setting], []]


def test_a_mapping_of_other_content_is_told_whatever_its_file_is_called(bench: Bench, tmp_path: Path) -> None:
    bench.publish(PERIOD, 5)
    mapping, same = tmp_path / "mapping.csv", tmp_path / "same.csv"
    for path in (mapping, same):
        path.write_text(OVERRIDES)

    def read(state: dict[str, Any] | None, path: Path) -> Run:
        config = bench.config(mapping_overrides_path=str(path))
        return bench.read(state, select=["activities"], config=config)

    first = read(None, mapping)
    renamed = read(first.state, same)
    same.write_text(OVERRIDES.replace("containers", "serverless"))
    edited = read(renamed.state, same)
    assert [told(run) for run in (first, renamed, edited)] == [[], [], ["mapping_overrides_path"]]


def test_states_of_before_are_told_nothing(bench: Bench) -> None:
    """They do not say what they were read with."""
    bench.publish(PERIOD, 5)
    state = bench.read(select=["activities"]).state
    del state["bookmarks"]["activities"]["read_with"]
    run = bench.read(state, select=["activities"], config=bench.config(activity_grain="day"))
    assert told(run) == []
