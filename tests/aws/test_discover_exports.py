"""`discover_exports`: what the account has is found, named and read, and nothing is passed over silently."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import EXPORT, PERIOD, made_up
from tests.aws.driving import LINE_ITEMS
from tests.local_clouds.data_exports import DataExport, DataExportsServer, LegacyReport
from tests.local_clouds.legacy_cur import legacy_table, publish_legacy_cur
from tests.local_clouds.sustainability import demo_water

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.aws.bench import Bench
    from tests.aws.driving import Run, State
    from tests.local_clouds.sustainability import SustainabilityServer

CUR2 = (
    "SELECT line_item_usage_type, resource_tags['goods from china'] AS goods, bill_payer_account_id "
    "FROM COST_AND_USAGE_REPORT"
)
FOCUS = "SELECT BilledCost FROM FOCUS_1_2_AWS"
CARBON = 'select usage_month from "CARBON_EMISSIONS"'
ADVICE = "SELECT account_id FROM COST_OPTIMIZATION_RECOMMENDATIONS"


@pytest.fixture
def services() -> Iterator[DataExportsServer]:
    """The services that know an account's exports; it has none yet."""
    with DataExportsServer() as running:
        yield running


def discover(
    bench: Bench,
    services: DataExportsServer,
    select: Sequence[str] = (LINE_ITEMS, "deliveries"),
    state: State | None = None,
    **settings: Any,
) -> Run:
    """Run the tap with nothing listed but what the settings list."""
    config = bench.config(**({"exports": [], "discover_exports": True} | settings))
    config["aws_endpoint_urls"] |= {"bcm-data-exports": services.url, "cur": services.url}
    return bench.run(state, select=select, config=config)


def publish_report(bench: Bench, report: LegacyReport, rows: int) -> None:
    """Deliver a month to a report."""
    publish_legacy_cur(
        bench.store,
        report=report.name,
        prefix=report.prefix,
        period=PERIOD,
        data=legacy_table(made_up(rows, PERIOD, 1)),
        assembly_id=str(uuid.uuid4()),
        chunks=1,
    )


def found(run: Run) -> Sequence[str]:
    """What the log says was found, without what stands before it."""
    lines = [line.partition("found export ")[2] for line in run.stderr.splitlines() if "found export" in line]
    return [line.rstrip('"}') for line in lines]


def test_an_export_that_never_delivered_keeps_no_other_from_being_read(
    bench: Bench, services: DataExportsServer
) -> None:
    services.account.exports = [
        DataExport(EXPORT, CUR2, bench.bucket),
        DataExport("never", CUR2, "no-such-bucket-at-all", delivered=False),
    ]
    services.account.reports = [LegacyReport("report", "no-such-bucket-either", delivered=False)]
    bench.publish(PERIOD, 4)
    run = discover(bench, services)
    assert run.exit_code == 0
    assert len(run.records(LINE_ITEMS)) == 4
    for name in ("never", "report"):
        (line,) = (
            line for line in run.stderr.splitlines() if f"export '{name}' has delivered nothing" in line
        )
        assert "no-such-bucket" in line


def test_an_export_that_is_deleted_meanwhile_is_left_out(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [
        DataExport("deleted", CUR2, bench.bucket),
        DataExport(EXPORT, CUR2, bench.bucket),
    ]
    bench.publish(PERIOD, 4)
    services.refuse("GetExport", "ResourceNotFoundException", 400, 1)
    run = discover(bench, services)
    assert run.exit_code == 0
    assert len(run.records(LINE_ITEMS)) == 4
    assert "export 'deleted' was deleted just now: left out" in run.stderr


def test_every_page_is_asked_for_and_each_export_is_named(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [
        DataExport(EXPORT, CUR2, bench.bucket),
        DataExport("ours-focus", FOCUS, bench.bucket),
        DataExport("advice", ADVICE, bench.bucket),
        DataExport("ours-carbon", CARBON, bench.bucket),
        DataExport("ours-focus-1-0", FOCUS.replace("1_2", "1_0"), bench.bucket),
    ]
    reports = [LegacyReport(f"report-{number}", bench.bucket) for number in range(7)]
    services.account.reports = reports
    bench.publish(PERIOD, 50)
    for report in reports:
        publish_report(bench, report, rows=3)
    run = discover(bench, services, select=[LINE_ITEMS])
    assert run.exit_code == 0, run.stderr
    place = f"s3://{bench.bucket}"
    assert found(run) == [
        f"'{EXPORT}' of type cur2 at {place}/exports/{EXPORT}",
        f"'ours-focus' of type focus at {place}/exports/ours-focus",
        f"'ours-carbon' of type carbon at {place}/exports/ours-carbon",
        f"'ours-focus-1-0' of type focus at {place}/exports/ours-focus-1-0",
        *(f"'report-{number}' of type cur at {place}/reports/report-{number}" for number in range(7)),
    ]
    assert "export 'advice' holds neither cost nor carbon" in run.stderr
    asked = services.account.asked
    assert (asked.count("ListExports"), asked.count("DescribeReportDefinitions")) == (3, 2)
    assert len(run.records()) == 50 + 7 * 3


def test_what_was_not_delivered_yet_is_left_out_until_it_is(
    bench: Bench, services: DataExportsServer
) -> None:
    """A new export takes a day; until then it must not stop the others."""
    services.account.exports = [
        DataExport("new", CUR2, bench.bucket, delivered=False),
        DataExport(EXPORT, CUR2, bench.bucket, delivered=False),
    ]
    services.account.reports = [LegacyReport("new-report", bench.bucket, delivered=False)]
    # A folder that was made in the console.
    bench.store.put("exports/new/", b"")
    bench.publish(PERIOD, 9)
    run = discover(bench, services)
    assert run.exit_code == 0, run.stderr
    assert len(run.records()) == 9
    for name in ("exports/new", "reports/new-report"):
        assert f"has delivered nothing to s3://{bench.bucket}/{name} yet: left out" in run.stderr


def test_what_was_delivered_and_is_gone_fails(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [DataExport("gone", CUR2, bench.bucket)]
    run = discover(bench, services)
    assert run.exit_code == 1
    assert f"'gone' at s3://{bench.bucket}/exports/gone: neither manifests nor data files" in run.stderr


def test_an_empty_prefix_is_a_key_that_begins_with_a_slash(bench: Bench, services: DataExportsServer) -> None:
    services.account.reports = [LegacyReport("bare", bench.bucket, prefix="")]
    publish_report(bench, services.account.reports[0], rows=9)
    run = discover(bench, services)
    assert len(run.records()) == 9, run.stderr


def test_what_is_listed_is_read_once_and_as_listed(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [DataExport(EXPORT, CUR2, bench.bucket)]
    bench.publish(PERIOD, 9)
    run = discover(bench, services, exports=[{"type": "cur2", "url": bench.url, "name": "mine"}])
    assert len(run.records()) == 9, run.stderr
    assert [row["export_name"] for row in run.records("deliveries")] == ["mine"]


def test_a_report_keeps_its_name_when_its_successor_has_the_same(
    bench: Bench, services: DataExportsServer
) -> None:
    """So that its months are not read again, and not there twice."""
    services.account.reports = [LegacyReport("costs", bench.bucket)]
    publish_report(bench, services.account.reports[0], rows=3)
    first = discover(bench, services)
    services.account.exports = [DataExport("costs", CUR2, bench.bucket)]
    bench.publish(PERIOD, 9, export="costs")
    second = discover(bench, services, state=first.state)
    assert [row["export_name"] for row in first.records("deliveries")] == ["costs"]
    assert [row["export_name"] for row in second.records("deliveries")] == ["costs-cur2"]
    assert (len(first.records()), len(second.records())) == (3, 9)
    assert [line.partition(" at ")[0] for line in found(second)] == [
        "'costs-cur2' of type cur2",
        "'costs' of type cur",
    ]


def test_names_that_clash_with_one_told_apart_are_refused(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [DataExport(name, CUR2, bench.bucket) for name in ("costs", "costs-cur2")]
    services.account.reports = [LegacyReport("costs", bench.bucket)]
    run = discover(bench, services)
    assert run.exit_code == 1
    assert "got 'costs-cur2' more than once" in run.stderr


def test_a_copy_that_is_listed_by_name_and_type_stands_for_the_export(
    bench: Bench, services: DataExportsServer
) -> None:
    """And what is listed is asked with its own settings only, whatever the service knows of it."""
    services.account.exports = [
        DataExport("costs", CUR2, bench.bucket, delivered=False),
        DataExport(EXPORT, CUR2, bench.bucket, delivered=False),
    ]
    bench.publish(PERIOD, 9)
    listed = [
        {"type": "cur2", "url": bench.url, "name": "costs"},
        {"type": "focus", "url": f"s3://{bench.bucket}/elsewhere", "name": EXPORT},
    ]
    run = discover(bench, services, exports=listed)
    assert found(run) == []
    assert "left out" not in run.stderr
    assert len(run.records()) == 9, run.stderr


def test_what_is_found_takes_another_name_than_what_is_listed(
    bench: Bench, services: DataExportsServer
) -> None:
    services.account.exports = [DataExport(EXPORT, CUR2, bench.bucket)]
    bench.publish(PERIOD, 9)
    listed = [{"type": "focus", "url": f"s3://{bench.bucket}/elsewhere", "name": EXPORT}]
    run = discover(bench, services, select=[LINE_ITEMS], exports=listed)
    assert found(run) == [f"'{EXPORT}-cur2' of type cur2 at {bench.url}"]
    assert len(run.records()) == 9, run.stderr


def test_an_account_without_exports_is_told_so(bench: Bench, services: DataExportsServer) -> None:
    run = discover(bench, services)
    assert run.exit_code == 0, run.stderr
    assert "discover_exports found no export of cost, usage or carbon" in run.stderr


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("ListExports", "bcm-data-exports:ListExports"),
        ("GetExport", "bcm-data-exports:GetExport"),
        ("DescribeReportDefinitions", "cur:DescribeReportDefinitions"),
    ],
)
def test_a_denied_question_names_the_permission_and_nothing_is_read(
    bench: Bench, services: DataExportsServer, operation: str, permission: str
) -> None:
    """Going on with half of the exports would look like costs that fell."""
    services.account.exports = [DataExport(EXPORT, CUR2, bench.bucket)]
    services.refuse(operation, "AccessDeniedException", status=403)
    bench.publish(PERIOD, 9)
    run = discover(bench, services)
    assert run.exit_code == 1
    assert f"allow {permission}" in run.stderr
    assert "class=auth" in run.stderr
    assert run.records() == []


def test_a_denied_question_is_asked_once_and_takes_away_no_water(
    bench: Bench, services: DataExportsServer, sustainability: SustainabilityServer
) -> None:
    """Whether emissions come from an export is not known then; water comes from nowhere else."""
    services.refuse("ListExports", "AccessDeniedException", status=403)
    sustainability.set_years(demo_water([2025], ["111122223333"], ["eu-central-1"], ["AmazonEC2"], 3))
    run = discover(bench, services, [LINE_ITEMS, "activities", "deliveries"], start_date="2025-01-01")
    assert run.exit_code == 1
    assert services.account.asked.count("ListExports") == 1
    assert {record["source"] for record in run.records("activities")} == {"aws_sustainability_water"}


def test_a_throttled_question_is_asked_again(bench: Bench, services: DataExportsServer) -> None:
    services.account.exports = [DataExport(EXPORT, CUR2, bench.bucket)]
    services.refuse("GetExport", "ThrottlingException", times=1)
    bench.publish(PERIOD, 9)
    run = discover(bench, services)
    assert len(run.records()) == 9, run.stderr
    assert services.account.asked.count("GetExport") == 2


@pytest.mark.parametrize("operation", ["ListExports", "GetExport", "DescribeReportDefinitions"])
@pytest.mark.parametrize("times", [1, 1_000], ids=["once", "always"])
def test_an_answer_that_breaks_off_is_asked_for_again_and_never_taken_for_none(
    bench: Bench, services: DataExportsServer, operation: str, times: int
) -> None:
    report = LegacyReport("legacy", bench.bucket)
    services.account.exports = [DataExport(EXPORT, CUR2, bench.bucket)]
    services.account.reports = [report]
    bench.publish(PERIOD, 5)
    publish_report(bench, report, 3)
    services.break_off(operation, times)
    run = discover(bench, services, max_attempts=2)
    assert len(run.records()) == (5 + 3 if times == 1 else 0)
    assert run.exit_code == (0 if times == 1 else 1)
    assert "it broke off" in run.stderr


@pytest.mark.parametrize(
    ("region", "asked"), [("eu-central-1", "us-east-1"), ("cn-north-1", "cn-northwest-1")], ids=str
)
def test_the_services_are_asked_in_their_one_region(
    bench: Bench, services: DataExportsServer, region: str, asked: str
) -> None:
    run = discover(bench, services, aws_default_region=region)
    assert run.exit_code == 0, run.stderr
    assert services.account.signed_for == {asked}
