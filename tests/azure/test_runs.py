"""What manifests say, in both generations, and what makes one that cannot be understood."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import ContractBroken
from offgridflow_common.exports.storage import ObjectInfo
from tap_offgridflow_azure.exports.runs import Part, read_run
from tests.local_clouds.azure_cost_vocabulary import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_offgridflow_azure.exports.runs import Run

WHERE = "https://account/exports/manifest.json"
INFO = ObjectInfo("manifest.json", 1, "the-etag", datetime(2026, 10, 1, tzinfo=UTC))
LEAST: dict[str, Any] = {
    "exportConfig": {"exportName": "Daily", "type": "ActualCost"},
    "runInfo": {"submittedTime": "2026-10-01T03:00:00Z", "startDate": "2026-09-01T00:00:00"},
    "blobs": [{"blobName": "cost/part.csv"}],
}


def example(name: str) -> Mapping[str, Any]:
    manifests: dict[str, Any] = json.loads((DATA / "azure_export_manifests.json").read_text("utf-8"))
    return manifests[name]


def read(manifest: Mapping[str, Any], **members: Any) -> Run:
    """A run of a manifest; members of `runInfo` and of the whole are replaced, and removed where None."""
    info = {
        name: value for name, value in members.items() if name in {"startDate", "endDate", "submittedTime"}
    }
    changed = dict(manifest) | {name: value for name, value in members.items() if name not in info}
    changed["runInfo"] = {
        name: value for name, value in (dict(manifest["runInfo"]) | info).items() if value is not None
    }
    return read_run(INFO, json.dumps(changed).encode(), WHERE)


ID = "00000000-0000-0000-0000-00000000000"
EXAMPLES: dict[str, tuple[Any, ...]] = {
    "csv_2024_04_01": (
        *("sample", "ReservationRecommendations", "2025-03-21T21:04:06.523444", "2025-03-01", "2025-03-21"),
        [(f"folder/sample/{ID}2/part0.csv", 8032, 36)],
    ),
    "focus_parquet": (
        *("focus-cost", "FocusCost", "2025-07-16T15:27:00.276245", "2025-07-01", "2025-07-16"),
        [(f"1.2/focus-cost/20250701-20250731/202507161527/{ID}3/part_0_0001.snappy.parquet", 50000, 100)],
    ),
    "pre_2024": (
        *("daily", "ActualCost", "2024-02-03T18:33:03.103207", "2024-01-01", "2024-01-31"),
        [(f"cost/daily/20240101-20240131/202402031833/{ID}4/part_0_0001.csv", 1234, None)],
    ),
    "empty_run": ("daily", "ActualCost", "2025-07-01T03:00:00", "2025-07-01", "2025-07-01", []),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_both_generations_are_understood(name: str) -> None:
    export, kind, submitted, first, last, parts = EXAMPLES[name]
    run = read(example(name))
    assert (run.name, run.type) == (export, kind)
    assert run.submitted_at == datetime.fromisoformat(submitted).replace(tzinfo=UTC)
    assert (run.first, run.last) == (date.fromisoformat(first), date.fromisoformat(last))
    assert run.parts == tuple(Part(*part) for part in parts)
    assert run.month == first[:7]
    assert run.delivery_id.startswith(ID)


def test_the_scope_is_what_the_resource_id_begins_with() -> None:
    scopes = [read(example(name)).scope for name in ("csv_2024_04_01", "pre_2024", "focus_parquet")]
    assert scopes == [
        "providers/microsoft.billing/billingaccounts/1234567",
        "subscriptions/00000000-0000-0000-0000-000000000000",
        None,
    ]


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [
        ("ActualCost", "actual"),
        ("Usage", "actual"),
        ("AmortizedCost", "amortized"),
        ("FocusCost", "focus"),
        ("focuscost", "focus"),
        ("PriceSheet", None),
        ("ReservationDetails", None),
    ],
)
def test_a_run_fits_one_type_of_the_settings_at_most(kind: str, fitting: str | None) -> None:
    run = read(LEAST, exportConfig={"exportName": "x", "type": kind})
    assert [name for name in ("focus", "actual", "amortized") if run.fits(name)] == (
        [fitting] if fitting else []
    )


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-09-01T00:00:00", None, (9, 1), (9, 30)),
        ("2026-09-01T00:00:00", "2026-09-30T00:00:00Z", (9, 1), (9, 30)),
        ("2026-09-01T00:00:00", "2026-09-30T23:59:59.9999999Z", (9, 1), (9, 30)),
        ("2026-09-01T00:00:00", "2026-10-01T00:00:00+00:00", (9, 1), (9, 30)),
        ("2026-09-01T00:00:00Z", "2026-09-01T00:00:00Z", (9, 1), (9, 1)),
        ("2026-09-15T00:00:00", "2026-10-14T00:00:00", (9, 15), (10, 14)),
        ("2026-09-02", "2026-09-01", (9, 2), (9, 2)),
    ],
)
def test_the_days_of_a_run_end_where_the_next_month_begins(
    start: str, end: str | None, first: tuple[int, int], last: tuple[int, int]
) -> None:
    run = read(LEAST, startDate=start, endDate=end)
    assert (run.first, run.last) == (date(2026, *first), date(2026, *last))


def test_one_run_id_at_two_times_is_two_deliveries() -> None:
    one, other = (
        read(example("pre_2024"), submittedTime=f"2024-02-0{day}T00:00:00.1234567Z") for day in (1, 2)
    )
    assert one.delivery_id == f"{ID}4-20240201T000000.123456Z"
    assert one.delivery_id != other.delivery_id


def test_a_run_without_an_id_is_the_same_wherever_its_manifest_lies() -> None:
    content = json.dumps(LEAST).encode()
    ids = {
        read_run(ObjectInfo(key, 1, etag, INFO.modified), content, key).delivery_id
        for key, etag in (("a/manifest.json", "1"), ("b/manifest.json", "2"))
    }
    assert ids == {"daily-ActualCost-20261001T030000.000000Z"}


@pytest.mark.parametrize("blobs", [None, []])
def test_an_empty_run_may_say_so_in_two_ways(blobs: Any) -> None:
    assert read(LEAST, blobs=blobs, blobCount=0).parts == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exportConfig": None}, "no object exportConfig"),
        ({"exportConfig": {"type": "ActualCost"}}, "no exportName"),
        ({"exportConfig": {"exportName": "x"}}, "no type"),
        ({"submittedTime": None}, "no submittedTime"),
        ({"submittedTime": "soon"}, "'soon' in place of a time in submittedTime"),
        ({"startDate": None}, "no startDate"),
        ({"endDate": "31/12/2026"}, "'31/12/2026' in place of a time in endDate"),
        ({"blobs": None}, "no list blobs"),
        ({"blobs": ["part.csv"]}, "no list blobs"),
        ({"blobs": [{"byteCount": 1}]}, "no blobName"),
        ({"blobCount": 2}, "1 blobs where blobCount says 2"),
    ],
)
def test_what_is_missing_is_named_with_the_place(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractBroken) as caught:
        read(LEAST, **changes)
    assert f"{said}." in str(caught.value)
    assert WHERE in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b"\xef\xbb\xbf{"])
def test_what_is_no_manifest_is_an_error(content: bytes) -> None:
    with pytest.raises(ContractBroken, match="no JSON"):
        read_run(INFO, content, WHERE)


def test_a_byte_order_mark_is_no_harm() -> None:
    assert read_run(INFO, b"\xef\xbb\xbf" + json.dumps(LEAST).encode(), WHERE).name == "daily"
