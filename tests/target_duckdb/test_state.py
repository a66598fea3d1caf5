"""State goes out when everything that came before it is committed, and never sooner."""

from __future__ import annotations

import io
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import ContractBroken
from target_offgridflow_duckdb.table import Table
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.target_duckdb.loading import (
    INTEGER,
    MOMENT,
    TEXT,
    kept_signal_handlers,
    record,
    schema,
    state,
)
from tests.target_duckdb.process import Process

if TYPE_CHECKING:
    from tests.target_duckdb.loading import Loader, Message

KEYED = schema("s", ["k"], k=INTEGER, v=TEXT)


def test_the_last_state_goes_out_at_the_end(loader: Loader) -> None:
    states = loader.load(KEYED, record("s", k=1), state({"at": 1}), record("s", k=2), state({"at": 2}))
    assert states == [{"at": 2}]


def test_a_run_ends_without_complaints(loader: Loader) -> None:
    """DuckDB's binding looks for leaks at the end, among what the program keeps."""
    with Process(loader.path) as process:
        process.send(KEYED, record("s", k=1), state({"at": 1}))
        assert process.end() == 0
        assert process.rest() == [{"at": 1}]
    assert "leak" not in process.log
    assert {line.split("|")[1].strip() for line in process.log.splitlines()} == {"INFO"}


def test_state_without_records_goes_out_too(loader: Loader) -> None:
    assert loader.load(state({"bookmarks": {"s": {"at": "2026-01-01", "part": 0.1}}})) == [
        {"bookmarks": {"s": {"at": "2026-01-01", "part": 0.1}}}
    ]


def test_nothing_goes_out_if_there_is_no_state(loader: Loader) -> None:
    assert loader.load(KEYED, record("s", k=1)) == []


def test_each_full_batch_lets_the_next_state_out(loader: Loader) -> None:
    messages: list[Message] = [KEYED]
    for number in range(10):
        messages += [record("s", k=number), state({"at": number})]
    states = loader.load(*messages, batch_size_rows=4)
    assert states == [{"at": 3}, {"at": 7}, {"at": 9}]


def test_what_a_changed_schema_commits_lets_the_next_state_out(loader: Loader) -> None:
    wider = schema("s", ["k"], k=INTEGER, v=TEXT, w=TEXT)
    states = loader.load(KEYED, record("s", k=1), wider, state({"at": 1}), record("s", k=2), state({"at": 2}))
    assert states == [{"at": 1}, {"at": 2}]


def test_a_state_covers_the_rows_of_all_streams(loader: Loader) -> None:
    """While one stream fills batches, another's only record is in the state, so it has to be in the table."""
    other = schema("early", ["k"], k=INTEGER)
    with Process(loader.path, batch_size_rows=2) as process:
        process.send(other, record("early", k=1), state({"early": 1}), KEYED)
        process.send(record("s", k=1), record("s", k=2), state({"early": 1, "s": 2}))
        assert process.state() == {"early": 1, "s": 2}
        process.kill()
    assert loader.rows("early") == [{"k": 1}]
    assert [row["k"] for row in loader.rows("s")] == [1, 2]


def test_a_load_that_fails_lets_no_state_out(loader: Loader) -> None:
    timed = schema("s", ["k"], k=INTEGER, t=MOMENT)
    with Process(loader.path, batch_size_rows=2) as process:
        process.send(timed, record("s", k=1, t="2026-01-01"), record("s", k=2), state({"at": 2}))
        assert process.state() == {"at": 2}
        process.send(record("s", k=3), record("s", k=4, t="never"), state({"at": 4}))
        assert process.end() == 1
        assert process.rest() == []
    assert "never" in process.log
    assert [row["k"] for row in loader.rows("s")] == [1, 2]


def test_a_load_that_fails_ends_a_run_that_waits_for_more(loader: Loader) -> None:
    timed = schema("s", ["k"], k=INTEGER, t=MOMENT)
    with Process(loader.path, batch_size_rows=2) as process:
        process.send(timed, record("s", k=1), record("s", k=2, t="never"))
        assert process.wait() == 1
        assert process.rest() == []
    assert "never" in process.log


def test_a_signal_after_an_error_lets_no_state_out(
    loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could not be read is gone, while another load may still be under way."""
    messages = [
        schema("lost", k=INTEGER),
        KEYED,
        record("lost", k=1),
        state({"lost": 1}),
        *(record("s", k=k) for k in range(2)),
        record("lost", k="bad"),
    ]
    with kept_signal_handlers():
        target = TargetOffgridflowDuckdb(config={"path": str(loader.path), "batch_size_rows": 2})
        with pytest.raises(ContractBroken, match="lost"):
            target.listen(io.BytesIO(b"\n".join(json.dumps(message).encode() for message in messages)))
        os.kill(os.getpid(), signal.SIGTERM)
        target.tables.database.close()
    assert capsys.readouterr().out == ""
    assert loader.rows("lost") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_waiting_loads_what_there_is_and_says_so(loader: Loader, number: int) -> None:
    with Process(loader.path) as process:
        process.send(KEYED, record("s", k=1), state({"at": 1}), record("s", k=2))
        process.wait_until_idle()
        process.signal(number)
        assert process.end() == 128 + number
        assert process.rest() == [{"at": 1}]
    assert {row["k"] for row in loader.rows("s")} >= {1}


def test_a_signal_within_a_load_waits_for_its_end(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK drains in the signal handler: within a transaction it would report state and then roll back."""
    load = Table.load

    def interrupted(self: Table, *arguments: Any, **options: Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return load(self, *arguments, **options)

    monkeypatch.setattr(Table, "load", interrupted)
    with pytest.raises(SystemExit):
        loader.load(KEYED, record("s", k=1), record("s", k=2), state({"at": 2}), batch_size_rows=2)
    assert [row["k"] for row in loader.rows("s")] == [1, 2]
