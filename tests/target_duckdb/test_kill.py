"""`kill -9` at any point: what a state says was loaded is there, and the rest comes with the next run."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.target_duckdb.loading import INTEGER, TEXT, Loader, record, schema, state
from tests.target_duckdb.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.target_duckdb.loading import Message

STREAMS = ("in_files", "keyed", "appended")
ROUNDS = 100
ROWS = 150
BATCH_ROWS = 400


def messages(folder: Path, done: dict[str, int]) -> Iterator[Message]:
    """What a tap sends that begins with a state: rounds of rows for each stream, each with its state."""
    for stream in STREAMS:
        yield schema(stream, [] if stream == "appended" else ["n"], n=INTEGER, v=TEXT)
    done = dict.fromkeys(STREAMS, 0) | done
    for number in range(min(done.values()) // ROWS, ROUNDS):
        for stream in STREAMS:
            if done[stream] // ROWS > number:
                continue
            rows = [{"n": n, "v": f"{stream} {n}"} for n in range(number * ROWS, (number + 1) * ROWS)]
            if stream == "in_files":
                yield batch(folder / f"{number}.jsonl.gz", stream, rows)
            else:
                yield from (record(stream, **row) for row in rows)
            done[stream] = (number + 1) * ROWS
            yield state(dict(done))


def batch(path: Path, stream: str, rows: list[dict[str, Any]]) -> Message:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    encoding = {"format": "jsonl", "compression": "gzip"}
    return {"type": "BATCH", "stream": stream, "encoding": encoding, "manifest": [path.as_uri()]}


def loaded(loader: Loader) -> dict[str, list[int]]:
    """The numbers of the rows that are there, by stream; their texts are checked."""
    found = {name for (name,) in loader.ask("SELECT table_name FROM duckdb_tables()")}
    rows = {stream: loader.rows(stream) if stream in found else [] for stream in STREAMS}
    assert all(row["v"] == f"{stream} {row['n']}" for stream in STREAMS for row in rows[stream])
    return {stream: [row["n"] for row in rows[stream]] for stream in STREAMS}


@pytest.mark.parametrize("point", range(6))
def test_what_state_says_is_there_after_a_kill_and_the_next_run_brings_the_rest(
    loader: Loader, tmp_path: Path, point: int
) -> None:
    chance = random.Random(point)
    states_before, pause = chance.randrange(40), chance.random() * 0.03
    with Process(loader.path, "tests.target_duckdb.slow", batch_size_rows=BATCH_ROWS) as process:

        def feed() -> None:
            with suppress(BrokenPipeError):
                for message in messages(tmp_path, {}):
                    process.send(message)

        feeding = threading.Thread(target=feed)
        feeding.start()
        said = [process.state() for _ in range(states_before)]
        time.sleep(pause)
        process.kill()
        feeding.join()
        said += process.rest()
    last = said[-1] if said else {}
    there = loaded(loader)
    for stream in STREAMS:
        assert set(range(last.get(stream, 0))) <= set(there[stream])
    (final,) = loader.load(*messages(tmp_path, last), batch_size_rows=10**6)[-1:]
    everything = list(range(ROUNDS * ROWS))
    assert final == dict.fromkeys(STREAMS, ROUNDS * ROWS)
    completed = loaded(loader)
    assert completed["keyed"] == completed["in_files"] == everything
    assert sorted(set(completed["appended"])) == everything
