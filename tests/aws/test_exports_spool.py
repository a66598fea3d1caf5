"""The spool: how much disk it takes, and what is left of it after each kind of end."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import PERIOD, line_items
from tests.aws.driving import EXPORT_STREAMS, SECONDS
from tests.local_clouds.s3_proxy import ACCESS_DENIED, call_first

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.aws.bench import Bench
    from tests.aws.conftest import StartTap

MEBIBYTE = 1024**2
DATA = "*/data/*"


def noise(count: int, size: int) -> Any:
    """Line items of text that does not get smaller when it is compressed."""
    made = random.Random(count)
    return line_items(line_item_resource_id=[made.randbytes(size // 2).hex() for _ in range(count)])


def used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("streams", [("cost_and_usage",), EXPORT_STREAMS])
def test_the_spool_never_takes_more_than_it_may(
    bench: Bench, spool_dir: Path, streams: tuple[str, ...]
) -> None:
    tables = [noise(1, size) for size in (900_000, 300_000, 300_000, 300_000, 990_000, 100_000, 800_000)]
    delivery = bench.publish(PERIOD, iter(tables))
    sizes = {key: len(bench.get(key)) for key in delivery.data_keys}
    assert sum(sizes.values()) > 2 * MEBIBYTE
    taken: list[tuple[int, int]] = []

    def measure(size: int) -> Callable[[], None]:
        return lambda: taken.append((used(spool_dir), size))

    for key, size in sizes.items():
        bench.aws.proxy.inject(call_first(measure(size)), key, times=10)
    run = bench.read(config=bench.config(spool_max_bytes=MEBIBYTE), select=streams)
    assert len(run.records()) == len(tables)
    assert len(taken) >= len(tables)
    assert max(before + size for before, size in taken) <= MEBIBYTE
    # Where there is room, the next file is fetched beside the one that is read.
    assert any(before for before, _ in taken)
    assert list(spool_dir.iterdir()) == []


def test_with_room_enough_two_streams_fetch_a_file_once(bench: Bench) -> None:
    delivery = bench.publish(PERIOD, 60, chunks=3)
    bench.aws.proxy.clear_requests()
    bench.read(select=EXPORT_STREAMS)
    assert Counter(bench.data_requests()) == Counter(delivery.data_keys)


def test_a_file_larger_than_the_spool_ends_the_stream_and_the_message_names_the_setting(
    bench: Bench, spool_dir: Path
) -> None:
    early = bench.publish("2026-08", 5)
    large = bench.publish(PERIOD, iter([noise(1, 100_000), noise(1, 1_200_000)]))
    bench.aws.proxy.clear_requests()
    run = bench.run(
        config=bench.config(spool_max_bytes=MEBIBYTE), select=[*EXPORT_STREAMS, "carbon_emissions"]
    )
    assert run.exit_code == 1
    assert "raise spool_max_bytes, or point spool_dir to a larger disk" in run.stderr
    assert "class=fatal" in run.stderr
    assert large.data_keys[1] not in bench.data_requests()
    assert [row["delivery_id"] for row in run.records("deliveries")] == [early.execution_id]
    assert list(spool_dir.iterdir()) == []
    assert "1 of 4 streams failed: cost_and_usage" in run.stderr
    assert "waits until cost_and_usage has read it" in run.stderr
    bench.read(run.state)


@pytest.mark.parametrize("streams", [("cost_and_usage",), ("activities",)])
def test_the_spool_is_gone_after_a_failure(bench: Bench, spool_dir: Path, streams: tuple[str, ...]) -> None:
    bench.publish(PERIOD, 30, chunks=4)
    bench.aws.proxy.inject(ACCESS_DENIED, "*-00003.*")
    assert bench.run(select=streams).exit_code == 1
    assert list(spool_dir.iterdir()) == []


def test_the_spool_is_gone_after_the_process_was_asked_to_end(
    bench: Bench, spool_dir: Path, start_tap: StartTap
) -> None:
    bench.publish(PERIOD, 30, chunks=4)
    seen: list[int] = []
    running = start_tap(bench.config(), select=["cost_and_usage"])

    def end() -> None:
        seen.append(len(list(spool_dir.iterdir())))
        running.send_signal(signal.SIGTERM)

    bench.aws.proxy.inject(call_first(end), "*-00003.*")
    running.communicate(timeout=SECONDS)
    assert seen == [1]
    assert list(spool_dir.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_running_one_has_is_not(
    bench: Bench, spool_dir: Path, start_tap: StartTap
) -> None:
    bench.publish(PERIOD, 30, chunks=4)
    killed = start_tap(bench.config(), select=["cost_and_usage"])
    bench.aws.proxy.inject(call_first(killed.kill), "*-00003.*")
    killed.communicate(timeout=SECONDS)
    (left,) = spool_dir.iterdir()
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert go_on.wait(SECONDS)

    bench.aws.proxy.inject(call_first(hold), "*-00003.*")
    running = start_tap(bench.config(), select=["cost_and_usage"])
    assert reached.wait(SECONDS)
    (held,) = spool_dir.iterdir()
    assert held != left
    bench.read()
    assert list(spool_dir.iterdir()) == [held]
    go_on.set()
    stdout, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 0
    assert stdout.count(b'"RECORD"') == 30
    assert list(spool_dir.iterdir()) == []
