"""A run that is killed, asked to end, or left by its reader: the next one completes it unnoticed."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws import truth
from tests.aws.driving import EXPORT_STREAMS, LINE_ITEMS, SECONDS, Run, catalog, command
from tests.local_clouds.s3_proxy import Fault, call_first
from tests.local_clouds.sustainability import demo_emissions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.bench import Bench
    from tests.aws.conftest import StartTap
    from tests.local_clouds.sustainability import SustainabilityServer

MONTHS = {"2026-06": 30, "2026-07": 0, "2026-08": 45, "2026-09": 40}
#: A pipe takes so many bytes before the writer has to wait: so exactly is a run stopped where it is to be.
PIPE_BYTES = 65_536


@pytest.fixture
def whole(bench: Bench, sustainability: SustainabilityServer) -> Run:
    """What an undisturbed run of several months gives."""
    for month, rows in MONTHS.items():
        bench.publish(month, rows)
    emissions = demo_emissions(list(MONTHS), ["111122223333"], ["eu-west-1"], ["AmazonEC2", "Other"], 1)
    sustainability.set_months(emissions)
    return bench.read(select=EXPORT_STREAMS)


def landed(*runs: Run) -> dict[str, dict[Any, Any]]:
    """What a target has after some runs: by stream and key, the last of each, current line items only."""
    records = {stream: [row for run in runs for row in run.records(stream)] for stream in EXPORT_STREAMS}
    deliveries = records["deliveries"]
    upserted = {truth.place_of(row): row for row in records["cost_and_usage"]}
    return {
        "cost_and_usage": truth.by_place(truth.current(upserted.values(), deliveries)),
        "deliveries": {
            (row["export_name"], row["billing_period"], row["delivery_id"]): row for row in deliveries
        },
        # Emissions name the run that read them.
        "activities": {row["id"]: row | {"import_batch_id": None} for row in records["activities"]},
    }


def complete_lines(stdout: bytes) -> Run:
    """What a target reads of a run that was killed: the lines that were finished."""
    return Run(stdout[: stdout.rfind(b"\n") + 1], "", -signal.SIGKILL, LINE_ITEMS)


def nothing_half(run: Run) -> None:
    """All rows of each delivery that the target was told of, or that state counts as read, are out."""
    out = Counter(row["delivery_id"] for row in run.records())
    assert all(out[row["delivery_id"]] == row["rows"] for row in run.records("deliveries"))
    assert all(out[delivery] == rows for delivery, rows in finished(run.state, "cost_and_usage").items())


def finished(state: dict[str, Any], stream: str) -> dict[str, int]:
    """The deliveries that a stream has read to their end, and their rows."""
    partitions = state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
    return {entry["delivery_id"]: entry["rows"] for entry in partitions if "delivery_id" in entry}


def read_bytes(running: subprocess.Popen[bytes], count: int) -> bytes:
    assert running.stdout is not None
    taken = b""
    while len(taken) < count and (piece := running.stdout.read(count - len(taken))):
        taken += piece
    return taken


@pytest.mark.parametrize("point", range(10))
def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(
    bench: Bench, whole: Run, start_tap: StartTap, point: int
) -> None:
    chance = random.Random(point)
    if point % 2:  # while it asks
        requests = sum(request.method == "GET" for request in bench.aws.proxy.requests)
        running = start_tap(bench.config())
        bench.aws.proxy.inject(call_first(running.kill), "*", skip=chance.randrange(requests))
        stdout, _ = running.communicate(timeout=SECONDS)
    else:  # while it writes; behind the last point, what is left would go into the pipe at once
        running = start_tap(bench.config())
        stdout = read_bytes(running, chance.randrange(len(whole.stdout) - PIPE_BYTES))
        running.kill()
        stdout += running.communicate(timeout=SECONDS)[0]
    assert running.returncode == -signal.SIGKILL
    bench.aws.proxy.clear_faults()
    killed = complete_lines(stdout)
    nothing_half(killed)
    rest = bench.read(killed.state, select=EXPORT_STREAMS)
    assert landed(killed, rest) == landed(whole)
    assert landed(whole)["cost_and_usage"].keys() == {truth.place_of(row) for row in whole.records()}
    # What state says was read is not read again.
    for stream in ("cost_and_usage", "deliveries"):
        again = {row["delivery_id"] for row in rest.records(stream)}
        assert again.isdisjoint(finished(killed.state, stream))


def test_a_run_that_is_killed_again_and_again_is_completed_at_last(
    bench: Bench, whole: Run, start_tap: StartTap
) -> None:
    runs: list[Run] = []
    state: dict[str, Any] = {}
    for share in (0.4, 0.6):
        running = start_tap(bench.config(), state)
        stdout = read_bytes(running, int(len(whole.stdout) * share))
        running.kill()
        runs.append(complete_lines(stdout + running.communicate(timeout=SECONDS)[0]))
        state = runs[-1].state or state
    runs.append(bench.read(state, select=EXPORT_STREAMS))
    assert landed(*runs) == landed(whole)


def test_a_month_that_was_half_read_and_is_delivered_anew_is_read_from_its_beginning(
    bench: Bench, whole: Run, start_tap: StartTap
) -> None:
    running = start_tap(bench.config(), select=["cost_and_usage", "deliveries"])
    last = whole.stdout.rindex(b'{"type":"RECORD","stream":"cost_and_usage"')
    stdout = read_bytes(running, last - PIPE_BYTES)
    running.kill()
    killed = complete_lines(stdout + running.communicate(timeout=SECONDS)[0])
    assert {row["billing_period"] for row in killed.records()} >= {"2026-08"}
    for month in MONTHS:
        bench.publish(month, 12, seed=5)
    rest = bench.read(killed.state)
    assert Counter(row["billing_period"] for row in rest.records()) == dict.fromkeys(MONTHS, 12)
    assert len(landed(killed, rest)["cost_and_usage"]) == 12 * len(MONTHS)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_run_that_is_asked_to_end_in_the_middle_of_a_block_ends_after_a_whole_line_and_a_state(
    bench: Bench, start_tap: StartTap, spool_dir: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    """Many containers run Python unbuffered: then a signal cuts a write short."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    bench.publish("2026-09", 10)
    bench.publish("2026-10", 150, chunks=1)
    everything = bench.read(select=EXPORT_STREAMS)
    running = start_tap(bench.config())
    begin = everything.stdout.index(
        b'{"type":"RECORD","stream":"cost_and_usage","record":{"billing_period":"2026-10"'
    )
    end = everything.stdout.rindex(b'{"type":"RECORD","stream":"cost_and_usage"')
    assert end - begin > 5 * PIPE_BYTES
    stdout = read_bytes(running, begin + PIPE_BYTES)
    assert json.loads(stdout.splitlines()[-2])["record"]["billing_period"] == "2026-10"
    running.send_signal(signal.SIGTERM)
    stdout += running.communicate(timeout=SECONDS)[0]
    ended = Run(stdout, "", running.returncode, LINE_ITEMS)
    assert ended.exit_code == 128 + signal.SIGTERM
    assert stdout.endswith(b"\n")
    nothing_half(ended)
    assert list(spool_dir.iterdir()) == []
    rest = bench.read(ended.state, select=EXPORT_STREAMS)
    assert landed(ended, rest) == landed(everything)


def test_a_run_that_waits_to_ask_again_ends_at_once_when_it_is_asked_to(
    bench: Bench, start_tap: StartTap, spool_dir: Path
) -> None:
    bench.publish("2026-09", 30, chunks=3)
    running = start_tap(bench.config(), select=["cost_and_usage"])
    asked_to_wait: list[float] = []

    def end() -> None:
        asked_to_wait.append(1)
        if len(asked_to_wait) == 1:
            running.send_signal(signal.SIGTERM)

    busy = Fault(call=end, status=503, code="SlowDown", message="Slow down.", headers={"Retry-After": "50"})
    bench.aws.proxy.inject(busy, "*-00002.*", times=100)
    stdout, _ = running.communicate(timeout=20)
    assert len(asked_to_wait) == 1
    assert Run(stdout, "", running.returncode, LINE_ITEMS).messages[-1]["type"] == "STATE"
    assert running.returncode == 128 + signal.SIGTERM
    assert list(spool_dir.iterdir()) == []


def test_a_run_that_fetches_a_large_file_ends_without_waiting_for_it(
    bench: Bench, start_tap: StartTap, spool_dir: Path
) -> None:
    published = bench.publish("2026-09", 30, chunks=3)
    bench.s3.put_object(Bucket=bench.bucket, Key=published.data_keys[1], Body=bytes(32 * 1024**2))
    manifest = bench.s3.get_object(Bucket=bench.bucket, Key=published.manifest_key)["Body"].read()
    bench.s3.put_object(Bucket=bench.bucket, Key=published.manifest_key, Body=manifest)
    running = start_tap(bench.config(), select=["cost_and_usage"])
    # Half a minute at least, of blocks of 64 KiB.
    slow = Fault(call=lambda: running.send_signal(signal.SIGTERM), drip=0.06)
    bench.aws.proxy.inject(slow, "*-00002.*")
    started = time.monotonic()
    stdout, _ = running.communicate(timeout=SECONDS)
    assert time.monotonic() - started < 20
    assert Run(stdout, "", running.returncode, LINE_ITEMS).messages[-1]["type"] == "STATE"
    assert running.returncode == 128 + signal.SIGTERM
    assert list(spool_dir.iterdir()) == []


def test_a_run_whose_reader_goes_away_ends_and_leaves_nothing_behind(
    bench: Bench, whole: Run, start_tap: StartTap, spool_dir: Path
) -> None:
    running = start_tap(bench.config())
    begun = read_bytes(running, len(whole.stdout) // 2)
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(SECONDS) == 1
    assert list(spool_dir.iterdir()) == []
    half = complete_lines(begun)
    assert landed(half, bench.read(half.state, select=EXPORT_STREAMS)) == landed(whole)


def test_a_run_whose_disk_is_full_writes_nothing_behind_the_line_that_is_torn(
    bench: Bench, whole: Run, tmp_path: Path
) -> None:
    # The files of the spool are smaller than that.
    most = len(whole.stdout) * 2 // 3
    line = command(tmp_path, bench.config(), None, catalog(EXPORT_STREAMS))
    with (tmp_path / "stdout").open("wb") as output:
        ended = subprocess.run(
            line,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        )
    stdout = (tmp_path / "stdout").read_bytes()
    assert (ended.returncode, len(stdout)) == (1, most)
    assert "writing to standard output: OSError" in ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    half = complete_lines(stdout)
    nothing_half(half)
    assert landed(half, bench.read(half.state, select=EXPORT_STREAMS)) == landed(whole)
