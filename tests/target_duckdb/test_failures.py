"""What the loader shows when it fails: one message, and a traceback only of what was not foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.target_duckdb.loading import INTEGER, MOMENT, record, schema, state
from tests.target_duckdb.process import Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.target_duckdb.loading import Message

KEYED = schema("s", ["k"], k=INTEGER, t=MOMENT)


def errors(log: str) -> list[str]:
    """The messages of errors; all lines of a log must be its own."""
    lines = [line.split(" | ", 3) for line in log.splitlines()]
    assert {len(parts) for parts in lines} == {4}, log
    return [message for _, level, _, message in lines if level.strip() != "INFO"]


@pytest.mark.parametrize(
    ("messages", "shown"),
    [
        ([record("s", k="bad")], "reading records of s: "),
        ([record("s", k=1), record("s", k=2, t="never")], "loading 2 records into table main.s: "),
        ([{"type": "RECORD", "stream": "s", "record": 1}], "reading records of s: "),
    ],
    ids=["a value", "a load", "a record"],
)
def test_what_was_foreseen_is_told_once_and_without_a_traceback(
    tmp_path: Path, messages: list[Message], shown: str
) -> None:
    with Process(tmp_path / "a.duckdb", batch_size_rows=2) as process:
        process.send(KEYED, *messages, state({"at": 1}))
        assert process.end() == 1
        assert process.rest() == []
    (message,) = errors(process.log)
    assert message.startswith(shown)
    assert message.endswith("[class=fatal]")


def test_a_database_that_cannot_be_opened_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_text("This is no database. " * 1000)
    with Process(tmp_path / "a.duckdb") as process:
        process.send(KEYED)
        assert process.end() == 1
    (message,) = errors(process.log)
    assert message.startswith(f"opening {tmp_path / 'a.duckdb'}: ")


def test_what_was_not_foreseen_keeps_its_traceback(tmp_path: Path) -> None:
    with Process(tmp_path / "a.duckdb", "tests.target_duckdb.unforeseen") as process:
        process.send(KEYED)
        assert process.end() == 1
    assert "Traceback (most recent call last):" in process.log
    assert "RuntimeError: nobody foresaw this" in process.log
