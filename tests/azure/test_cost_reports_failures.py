"""Cost details reports that take their time, fail, or are gone when they are fetched."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, costs, only
from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import (
    ERROR_AS_LIST,
    NOT_ACCEPTABLE,
    arm_error,
    throttled,
    unavailable,
)
from tests.local_clouds.azure_messages import Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAMS = ["cost_details", "deliveries"]
SCOPE = f"subscriptions/{ONE}"
ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
FIRST = datetime(2026, 9, 1, tzinfo=UTC).date()
ROWS = 2 * 20
FILES = 4


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure, clock: FakeClock) -> None:
    del clock
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.scopes.subscriptions = {ONE}
    azure.details.publish(
        SCOPE, "2026-09", "ActualCost", cost_details_csv(costs(FIRST, 20), rows_per_blob=10)
    )


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(start_date="2026-09-01", end_date="2026-10-01")


def whole(run: Run) -> bool:
    """Whether the newest delivery is told, and all of its rows are there."""
    (delivery,) = run.records("deliveries")
    rows = [one for one in run.records("cost_details") if one["delivery_id"] == delivery["delivery_id"]]
    total = sum(Decimal(str(one["cost_in_billing_currency"])) for one in rows)
    places = {(one["file_ordinal"], one["row_number"]) for one in rows}
    return len(places) == len(rows) == delivery["rows"] == ROWS and total == sum(
        row.cost for row in costs(FIRST, 20)
    )


def at_once(azure: LocalAzure) -> None:
    azure.details.waits = None


def from_place_to_place(azure: LocalAzure) -> None:
    azure.details.waits, azure.details.moves = 5, True


def with_200(azure: LocalAzure) -> None:
    azure.details.waits, azure.details.waits_with_200 = 3, True


def without_a_word(azure: LocalAzure) -> None:
    azure.details.waits, azure.details.retry_after = 3, None


def refused_at_first(azure: LocalAzure) -> None:
    azure.arm.fail_next(NOT_ACCEPTABLE, 2, operation="create_report")


def throttled_and_down(azure: LocalAzure) -> None:
    azure.arm.fail_next(throttled({"Retry-After": "5"}), operation="create_report")
    azure.arm.fail_next(unavailable(None), 2, operation="poll_report")


def broken_downloads(azure: LocalAzure) -> None:
    azure.downloads.truncate_next()
    azure.downloads.reset_next(skip=2)
    azure.downloads.fail_next(Reply(503), skip=3)


@pytest.mark.parametrize(
    "manner",
    [
        at_once,
        from_place_to_place,
        with_200,
        without_a_word,
        refused_at_first,
        throttled_and_down,
        broken_downloads,
    ],
)
def test_a_report_is_had_in_the_end(
    manner: Callable[[LocalAzure], None], azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    manner(azure)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 0
    assert whole(run)


def test_it_is_looked_for_when_azure_says(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap, clock: FakeClock
) -> None:
    azure.details.waits, azure.details.retry_after = 3, "100"
    assert whole(run_tap(config, STREAMS))
    assert 400 <= clock.monotonic() < 410
    assert len(azure.arm.asked("poll_report")) == 4


@pytest.mark.parametrize("no_data", ["204", "NoDataFound"])
def test_no_cost_is_a_delivery_without_files(
    no_data: str, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.details.publish(SCOPE, "2026-09", "ActualCost", [])
    azure.details.no_data = no_data
    run = run_tap(config, STREAMS)
    assert run.exit_code == 0
    (delivery,) = run.records("deliveries")
    assert (delivery["rows"], delivery["files"], delivery["bytes"]) == (0, 0, 0)


def test_links_get_no_token_and_are_shown_nowhere(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.downloads.fail_next(Reply(503), 2)
    run = run_tap(config, STREAMS)
    assert whole(run)
    downloads = azure.downloads.asked("download")
    assert len(downloads) == FILES + 2
    for request in downloads:
        assert "authorization" not in request.headers
        signature = request.query["sig"]
        assert signature
        assert signature not in run.stderr
        assert signature not in run.stdout.decode()


def test_links_that_are_too_old_are_replaced_by_another_report(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    past = f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S.%f}0Z"
    azure.arm.alter("poll_report", lambda answer: answer.update(validTill=past))
    azure.downloads.fail_next(Reply(403), skip=2)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 0
    assert len(azure.arm.asked("create_report")) == 2
    assert "changed while it was read; reading it again" in run.stderr
    # What went out of the first report belongs to a delivery that never becomes current.
    assert len({one["delivery_id"] for one in run.records("cost_details")}) == 2
    assert whole(run)


def test_links_that_stay_too_old_are_given_up_on(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.alter("poll_report", lambda answer: answer.pop("validTill") and None)
    azure.downloads.fail_next(Reply(404), 99)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    assert len(azure.arm.asked("create_report")) == 3
    assert f"reading cost details of {SCOPE}/2026-09/" in run.stderr
    assert "HTTP 404" in run.stderr
    assert not run.records("deliveries")


def test_a_link_that_is_refused_although_it_is_good_is_an_error(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.downloads.fail_next(Reply(403), 99)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    assert "cost_details (auth)" in run.stderr
    assert len(azure.arm.asked("create_report")) == 1


def test_a_file_of_another_size_is_not_taken(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    def shrink(answer: Any) -> None:
        if answer["manifest"]:
            answer["manifest"]["blobs"][1]["byteCount"] -= 1

    azure.arm.alter("poll_report", only(1, shrink))
    azure.details.waits = 0
    run = run_tap(config, STREAMS)
    assert run.exit_code == 0
    assert len(azure.arm.asked("create_report")) == 2
    assert whole(run)


def test_a_kill_in_the_middle_leaves_nothing_that_counts(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.downloads.fail_next(Reply(403), 99, skip=2)
    first = run_tap(config, STREAMS)
    assert first.exit_code == 1
    assert len(first.records("cost_details")) == 20
    azure.downloads.clear_faults()
    second = run_tap(config, STREAMS, first.state)
    assert second.exit_code == 0
    assert whole(second)
    ids = [{one["delivery_id"] for one in run.records("cost_details")} for run in (first, second)]
    assert ids[0].isdisjoint(ids[1])


REFUSALS = {
    "no such agreement": arm_error(404, "NotFound", "because of it"),
    "no such time": arm_error(400, "BadRequest", "because of it: Start date must be after 2025-10-01"),
    "several errors": ERROR_AS_LIST,
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS)
def test_where_there_are_no_reports_an_export_is_what_helps(
    reply: Reply, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.fail_next(reply, operation="create_report")
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    (line,) = (line for line in run.stderr.splitlines() if "create an export" in line)
    assert f"/{SCOPE}/" in line
    assert "for 2026-09-01 to 2026-09-30" in line
    assert ("because of it" in line) or ("One of several." in line)
    assert len(azure.arm.asked("create_report")) == 1


def as_list(answer: Any) -> None:
    answer["error"] = [answer["error"], {"code": "Second", "message": "and this"}]


@pytest.mark.parametrize("change", [lambda _: None, as_list])
def test_a_report_that_azure_fails_to_make_is_an_error_with_its_reason(
    change: Callable[[Any], None], azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.details.failure = ("InternalServerError", "it broke")
    azure.details.waits = 0
    azure.arm.alter("poll_report", change)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    assert "Azure failed to make the report: InternalServerError it broke" in run.stderr
    assert ("Second and this" in run.stderr) == (change is as_list)


def test_a_report_that_is_never_ready_is_given_up_on_after_an_hour(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap, clock: FakeClock
) -> None:
    azure.details.waits, azure.details.retry_after = 999, "600"
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    assert "no report after 60 minutes" in run.stderr
    assert 3000 <= clock.monotonic() <= 3660


def without_place(azure: LocalAzure) -> None:
    azure.arm.fail_next(Reply(202), operation="create_report")


def with_another_host(azure: LocalAzure) -> None:
    azure.arm.fail_next(Reply(202, None, {"Location": "https://example.com/x"}), operation="create_report")


def changed(change: Callable[[Any], object]) -> Callable[[LocalAzure], None]:
    def break_answer(azure: LocalAzure) -> None:
        azure.details.waits = 0
        azure.arm.alter("poll_report", only(1, change))

    return break_answer


BREAKS: dict[str, tuple[Callable[[LocalAzure], None], str]] = {
    "no place to ask again": (without_place, "HTTP 202 without a place to ask again"),
    "a place elsewhere": (with_another_host, "it is not the origin that the credentials are for"),
    "no status": (changed(lambda answer: answer.pop("status")), "an object without status"),
    "no link": (
        changed(lambda answer: answer["manifest"]["blobs"][0].pop("blobLink")),
        "an object without blobLink",
    ),
    "no size": (
        changed(lambda answer: answer["manifest"]["blobs"][0].pop("byteCount")),
        "a file without byteCount",
    ),
    "no files at all": (changed(lambda answer: answer.update(manifest=None)), "nothing in place of a list"),
    "a file less": (
        changed(lambda answer: answer["manifest"]["blobs"].pop()),
        "3 files where the manifest counts 4",
    ),
    "no time": (changed(lambda answer: answer.update(validTill="soon")), "'soon' in place of a time"),
}


@pytest.mark.parametrize(("break_answer", "named"), BREAKS.values(), ids=BREAKS)
def test_an_answer_outside_of_the_contract_ends_the_scope(
    break_answer: Callable[[LocalAzure], None],
    named: str,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    break_answer(azure)
    run = run_tap(config, STREAMS)
    assert run.exit_code == 1
    assert named in run.stderr
    assert not run.records("cost_details")


class TestCoveredByExports:
    """Where an export delivers a scope's cost, no report is made of it."""

    @staticmethod
    def export(folder: Path, scope: str | None, kind: str = "ActualCost") -> dict[str, str]:
        """The setting of an export without rows, whose manifest names its scope."""
        place = folder / "daily" / "20260901-20260930"
        place.mkdir(parents=True)
        path = f"/{scope}/providers/Microsoft.CostManagement/exports/daily"
        manifest = {
            "exportConfig": {"exportName": "daily", "type": kind} | ({"resourceId": path} if scope else {}),
            "runInfo": {
                "runId": "run",
                "startDate": "2026-09-01T00:00:00",
                "submittedTime": "2026-10-02T00:00:00Z",
            },
            "blobs": [],
        }
        (place / "manifest.json").write_text(json.dumps(manifest))
        types = {"ActualCost": "actual", "FocusCost": "focus"}
        return {"type": types[kind], "url": f"file://{folder}/daily"}

    @pytest.mark.parametrize("kind", ["ActualCost", "FocusCost"])
    def test_of_the_very_subscription(
        self, kind: str, tmp_path: Path, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        other = "bbbbbbbb-0000-0000-0000-000000000001"
        azure.scopes.subscriptions.add(other)
        azure.discovery.subscriptions.append(Subscription(other, "Other"))
        exports = [self.export(tmp_path, SCOPE.upper(), kind)]
        run = run_tap(config | {"exports": exports}, STREAMS)
        assert run.exit_code == 0
        scopes = [request.path.split("/")[2] for request in azure.arm.asked("create_report")]
        assert scopes == [other]
        assert f"no cost details report of {SCOPE}: an export covers it" in run.stderr

    def test_of_what_lies_above(
        self, tmp_path: Path, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        profiles = [f"{ACCOUNT}/billingProfiles/one", f"{ACCOUNT}0/billingProfiles/one"]
        exports = [self.export(tmp_path, ACCOUNT)]
        run = run_tap(config | {"exports": exports, "cost_scopes": profiles}, STREAMS)
        assert f"no cost details report of {profiles[0]}: an export covers it" in run.stderr
        assert {request.path.split("/")[4] for request in azure.arm.asked("create_report")} == {
            profiles[1].split("/")[3]
        }

    @pytest.mark.parametrize("scope", [ACCOUNT, None])
    def test_of_more_than_one_subscription_perhaps(
        self, scope: str | None, tmp_path: Path, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        config |= {"exports": [self.export(tmp_path, scope)]}
        run = run_tap(config, STREAMS)
        assert run.exit_code == 0
        assert not azure.arm.requests
        assert "exports may cover all; cost_scopes asks for some" in run.stderr
        asked_for = run_tap(config | {"cost_scopes": [SCOPE]}, STREAMS)
        assert asked_for.exit_code == 0
        assert len(azure.arm.asked("create_report")) == 1

    @pytest.mark.parametrize("scopes", [[], [SCOPE]])
    def test_that_cannot_be_read(
        self,
        scopes: list[str],
        tmp_path: Path,
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
    ) -> None:
        """What it covers is not known, so nothing may be made of any scope; other exports are read."""
        lost = {"type": "actual", "url": f"file://{tmp_path}/nothing"}
        config |= {"cost_scopes": scopes} if scopes else {}
        run = run_tap(config | {"exports": [lost, self.export(tmp_path, ACCOUNT)]}, STREAMS)
        assert run.exit_code == 1
        assert "looking for the manifests of export 'nothing'" in run.stderr
        assert "no cost details reports: 'nothing' may cover their scopes" in run.stderr
        assert [one["export_name"] for one in run.records("deliveries")] == ["daily"]
        assert not azure.arm.requests

    def test_that_only_another_stream_reads_and_cannot(
        self, tmp_path: Path, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        lost = {"type": "focus", "url": f"file://{tmp_path}/nothing"}
        config |= {"exports": [lost], "cost_scopes": [SCOPE]}
        run = run_tap(config, ["cost_details"])
        assert run.exit_code == 1
        assert "cost_details (not_found)" in run.stderr
        assert not azure.arm.requests
        found = self.export(tmp_path, SCOPE, "FocusCost")
        second = run_tap(config | {"exports": [found]}, ["cost_details"], run.state)
        assert second.exit_code == 0
        assert not azure.arm.requests

    def test_that_cannot_be_read_is_no_matter_where_no_report_would_be_made(
        self, tmp_path: Path, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        exports = [{"type": "focus", "url": f"file://{tmp_path}/nothing"}]
        group = "providers/Microsoft.Management/managementGroups/root"
        run = run_tap(config | {"exports": exports, "cost_scopes": [group]}, ["cost_details"])
        assert run.exit_code == 0
        assert f"no cost details reports exist of {group}" in run.stderr
