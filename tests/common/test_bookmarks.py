"""Bookmarks: what was read, per partition, in the SDK's layout, written in place."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offgridflow_common.exports.delivery import Delivery, Export, Manifest
from offgridflow_common.exports.storage import FolderStore, ObjectInfo
from offgridflow_common.singer.bookmarks import Bookmarks

EXPORT = Export(name="bill", type="line_items", store=FolderStore(Path("nowhere")), prefix="exports/bill")
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def manifest(period: str = "2026-02", etag: str = "e1", model_version: str | None = None) -> Manifest:
    info = ObjectInfo(key=f"{period}/Manifest.json", size=10, etag=etag, modified=MOMENT)
    return Manifest(export=EXPORT, period=period, info=info, model_version=model_version)


def delivery(of: Manifest, delivery_id: str = "d1") -> Delivery:
    file = ObjectInfo(key=f"{of.period}/part.csv", size=12, etag=delivery_id, modified=MOMENT)
    return Delivery(manifest=of, delivery_id=delivery_id, columns=None, files=(file,))


@pytest.fixture
def state() -> dict[str, Any]:
    return {}


@pytest.fixture
def bookmarks(state: dict[str, Any]) -> Bookmarks:
    return Bookmarks(state)


def test_nothing_is_remembered_at_first_and_asking_leaves_no_trace(
    bookmarks: Bookmarks, state: dict[str, Any]
) -> None:
    assert bookmarks.get({"source": "a"}) == bookmarks.of(manifest()) == {}
    assert bookmarks.reading_of(manifest()) is None
    assert bookmarks.partial_reading_of(manifest()) == (0, 0)
    assert state == {}


def test_whoever_else_changes_the_state_is_noticed(bookmarks: Bookmarks, state: dict[str, Any]) -> None:
    bookmarks.set({"source": "a"}, {"x": 1})
    state["partitions"].append({"context": {"billing_period": "2026-02", "export": "bill"}, "x": 2})
    assert [entry["x"] for entry in bookmarks.of_period("2026-02")] == [2]
    state["partitions"] = [{"context": {"source": "b"}, "x": 3}]
    assert (bookmarks.get({"source": "a"}), bookmarks.get({"source": "b"})["x"]) == ({}, 3)
    state.clear()
    assert bookmarks.get({"source": "b"}) == {}
    bookmarks.set({"source": "b"}, {"x": 4})
    assert bookmarks.get({"source": "b"})["x"] == 4
    assert state == {"partitions": [{"context": {"source": "b"}, "x": 4}]}


def test_values_are_kept_beside_those_that_are_there(bookmarks: Bookmarks, state: dict[str, Any]) -> None:
    bookmarks.set({"source": "a"}, {"x": 1})
    bookmarks.set({"source": "b"}, {"x": 2})
    bookmarks.set({"source": "a"}, {"y": 3})
    assert state == {
        "partitions": [{"context": {"source": "a"}, "x": 1, "y": 3}, {"context": {"source": "b"}, "x": 2}]
    }
    assert bookmarks.get({"source": "a"})["y"] == 3
    assert bookmarks.get({"source": "a", "more": "z"}) == {}


def test_what_the_sdk_keeps_in_the_state_stays_there() -> None:
    state: dict[str, Any] = {
        "replication_key": "x",
        "partitions": [{"context": {"source": "a"}, "own": True}, {}],
    }
    before = copy.deepcopy(state)
    Bookmarks(state).set({"source": "a"}, {"x": 1})
    before["partitions"][0]["x"] = 1
    assert state == before


def test_the_context_that_was_given_may_change_afterwards(bookmarks: Bookmarks) -> None:
    context = {"source": "a"}
    bookmarks.set(context, {"x": 1})
    context["source"] = "b"
    assert bookmarks.get({"source": "a"})["x"] == 1


def test_a_delivery_is_remembered_by_its_manifest(bookmarks: Bookmarks, state: dict[str, Any]) -> None:
    bookmarks.mark_read(delivery(manifest()), 5, {"note": "n"})
    [entry] = json.loads(json.dumps(state))["partitions"]
    assert entry == {
        "context": {"export": "bill", "billing_period": "2026-02"},
        "replication_key": "delivered_at",
        "replication_key_value": "2026-03-01T12:00:00.000005+00:00",
        "delivery_id": "d1",
        "manifest_etag": "e1",
        "export_type": "line_items",
        "files": 1,
        "bytes": 12,
        "rows": 5,
        "note": "n",
    }
    reading = bookmarks.reading_of(manifest())
    assert reading is not None
    assert reading["rows"] == 5


@pytest.mark.parametrize(
    "other",
    [manifest(etag="e2"), manifest(period="2026-03"), manifest(model_version="v1")],
    ids=lambda m: m.label,
)
def test_another_delivery_period_or_model_was_not_read(bookmarks: Bookmarks, other: Manifest) -> None:
    bookmarks.mark_read(delivery(manifest()), 5)
    assert bookmarks.reading_of(other) is None
    bookmarks.mark_read(delivery(other, "d2"), 7)
    assert bookmarks.reading_of(other) is not None
    same_period = (other.period, other.model_version) == ("2026-02", None)
    assert (bookmarks.reading_of(manifest()) is None) == same_period


def test_a_period_has_one_entry_however_often_it_is_delivered(
    bookmarks: Bookmarks, state: dict[str, Any]
) -> None:
    for number in range(5):
        bookmarks.mark_read(delivery(manifest(etag=f"e{number}"), f"d{number}"), number)
    [entry] = state["partitions"]
    assert (entry["delivery_id"], entry["rows"]) == ("d4", 4)


def test_a_reading_that_was_ended_is_resumed_for_the_very_same_delivery_only(bookmarks: Bookmarks) -> None:
    bookmarks.mark_partly_read(manifest(etag="e2"), 30, 2)
    assert bookmarks.partial_reading_of(manifest(etag="e2")) == (30, 2)
    assert bookmarks.partial_reading_of(manifest(etag="e3")) == (0, 0)
    assert bookmarks.partial_reading_of(manifest(period="2026-03", etag="e2")) == (0, 0)
    assert bookmarks.reading_of(manifest(etag="e2")) is None


def test_an_ended_reading_of_a_new_delivery_does_not_make_the_old_one_unread(bookmarks: Bookmarks) -> None:
    bookmarks.mark_read(delivery(manifest()), 5)
    bookmarks.mark_partly_read(manifest(etag="e2"), 30, 2)
    assert bookmarks.reading_of(manifest()) is not None
    assert bookmarks.reading_of(manifest(etag="e2")) is None


def test_what_was_read_to_its_end_is_no_longer_partly_read(
    bookmarks: Bookmarks, state: dict[str, Any]
) -> None:
    bookmarks.mark_partly_read(manifest(), 30, 2)
    bookmarks.mark_read(delivery(manifest()), None)
    assert bookmarks.partial_reading_of(manifest()) == (0, 0)
    [entry] = state["partitions"]
    assert "partial" not in entry
    assert entry["rows"] is None


def test_no_entry_is_ever_seen_half_written(bookmarks: Bookmarks, state: dict[str, Any]) -> None:
    """A signal writes the state as it is just then."""
    bookmarks.mark_partly_read(manifest(), 10, 1)
    seen = state["partitions"][0]
    before = copy.deepcopy(seen)
    bookmarks.mark_read(delivery(manifest()), 12)
    assert seen == before
    assert state["partitions"][0]["rows"] == 12


def test_bookmarks_survive_the_way_through_a_state_file(bookmarks: Bookmarks, state: dict[str, Any]) -> None:
    bookmarks.mark_partly_read(manifest(period="2026-03"), 30, 2)
    bookmarks.mark_read(delivery(manifest(model_version="v2")), 5)
    again = Bookmarks(json.loads(json.dumps(state)))
    assert again.partial_reading_of(manifest(period="2026-03")) == (30, 2)
    assert again.reading_of(manifest(model_version="v2")) == bookmarks.reading_of(
        manifest(model_version="v2")
    )
