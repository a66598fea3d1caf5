"""The spool: verified, bounded, one file ahead; nothing stays on disk but what is being read."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.errors import FatalError, SourceChanged, TransientError
from offgridflow_common.exports.spool import Spool
from offgridflow_common.exports.storage import FolderStore, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = 10  # seconds after which a test gives up on another thread; none ever takes that long


WHO = ContextVar("who", default="nobody")


@dataclass
class Bucket:
    """A store that is not on local disk: it counts what is fetched, waits where told to, and fails."""

    fetched: list[str] = field(default_factory=list)
    fetched_for: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    begun: dict[str, threading.Event] = field(default_factory=dict)

    def uri(self, key: str) -> str:
        return f"bucket://b/{key}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise NotImplementedError(prefix)

    def read(self, info: ObjectInfo) -> bytes:
        raise NotImplementedError(info)

    def local_path(self, info: ObjectInfo) -> None:
        del info

    def download(self, info: ObjectInfo, target: Path) -> None:
        self.fetched.append(info.key)
        self.fetched_for.append(WHO.get())
        with target.open("wb") as file:
            file.write(b"half of ")
            file.flush()
            self.begun.setdefault(info.key, threading.Event()).set()
            if info.key in self.gates:
                assert self.gates[info.key].wait(WAIT)
            if info.key in self.failing:
                raise self.failing[info.key]
            file.write(info.key.encode())


def objects(*keys: str, size: int = 10) -> list[ObjectInfo]:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return [ObjectInfo(key=key, size=size, etag=f"etag of {key}", modified=moment) for key in keys]


def kept(folder: Path) -> list[str]:
    """The contents of the files in the spools below a folder."""
    return sorted(
        path.read_text() for path in folder.rglob("*") if path.is_file() and "lock" not in path.name
    )


def whole(*keys: str) -> list[str]:
    return [f"half of {key}" for key in keys]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path, 30) as spool:
        yield spool
    assert list(tmp_path.iterdir()) == []


def test_files_come_in_order_whole_and_with_the_ends_of_their_names(spool: Spool, bucket: Bucket) -> None:
    keys = ["e/data/p=1/e-1.csv.gz", "e/data/p=1/e-2.snappy.parquet", "e/dotted.folder/none"]
    seen = [(path.read_text(), "".join(path.suffixes)) for path in spool.files(bucket, objects(*keys))]
    assert seen == list(zip(whole(*keys), [".csv.gz", ".snappy.parquet", ""], strict=True))
    assert bucket.fetched == keys


def test_no_files_are_no_files(spool: Spool, bucket: Bucket) -> None:
    assert list(spool.files(bucket, [])) == []


def test_the_next_file_is_fetched_while_one_is_read_and_no_more_than_that(
    spool: Spool, bucket: Bucket
) -> None:
    bucket.gates["b"] = threading.Event()
    bucket.begun["b"] = threading.Event()
    files = spool.files(bucket, objects("a", "b", "c"))
    assert next(files).read_text() == "half of a"
    assert bucket.begun["b"].wait(WAIT)
    assert bucket.fetched == ["a", "b"]
    bucket.gates["b"].set()
    assert [path.read_text() for path in files] == whole("b", "c")


def test_files_are_fetched_in_the_context_of_their_reader(spool: Spool, bucket: Bucket) -> None:
    """So that spans nest and the log has its fields, also of what is fetched ahead in a thread."""
    token = WHO.set("a stream")
    assert len(list(spool.files(bucket, objects("a", "b", "c")))) == 3
    WHO.reset(token)
    assert bucket.fetched_for == ["a stream"] * 3


def test_a_file_that_cannot_be_fetched_ahead_fails_only_when_it_is_asked_for(
    spool: Spool, bucket: Bucket
) -> None:
    error = SourceChanged(asked="reading b", got="another", do="read again")
    bucket.failing["b"] = error
    files = spool.files(bucket, objects("a", "b", "c"))
    assert next(files).read_text() == "half of a"
    with pytest.raises(SourceChanged) as caught:
        next(files)
    assert caught.value is error
    assert bucket.fetched == ["a", "b"]
    bucket.failing.clear()
    assert [path.read_text() for path in spool.files(bucket, objects("b"))] == whole("b")


def test_a_reader_that_stops_early_takes_its_unwanted_file_with_it(spool: Spool, bucket: Bucket) -> None:
    bucket.failing["b"] = TransientError(asked="a", got="b", do="c")
    files = spool.files(bucket, objects("a", "b"))
    next(files)
    files.close()  # type: ignore[attr-defined]  # a generator, which the signature need not say
    bucket.failing.clear()
    assert [path.read_text() for path in spool.files(bucket, objects("c", "d", "e"))] == whole("c", "d", "e")


def test_a_second_reader_gets_what_is_still_there(spool: Spool, bucket: Bucket) -> None:
    first = list(spool.files(bucket, objects("a", "b")))
    second = list(spool.files(bucket, objects("a", "b")))
    assert first == second
    assert bucket.fetched == ["a", "b"]


def test_another_version_of_an_object_is_another_file(spool: Spool, bucket: Bucket) -> None:
    [old] = objects("a")
    new = ObjectInfo(key="a", size=10, etag="newer", modified=old.modified)
    assert len(set(spool.files(bucket, [old]))) == len(set(spool.files(bucket, [new]))) == 1
    assert bucket.fetched == ["a", "a"]


def test_what_was_read_longest_ago_makes_room(spool: Spool, bucket: Bucket, tmp_path: Path) -> None:
    for keys in ("abc", "a", "d"):
        list(spool.files(bucket, objects(*keys)))
    assert kept(tmp_path) == whole("a", "c", "d")
    list(spool.files(bucket, objects("a")))
    assert bucket.fetched == ["a", "b", "c", "d"]


@pytest.mark.parametrize("max_bytes", [10, 19, 20, 25, 30, 1000])
def test_the_files_never_take_more_than_they_may(tmp_path: Path, bucket: Bucket, max_bytes: int) -> None:
    with Spool(tmp_path, max_bytes) as spool:
        for keys in ("abcdef", "fed", "afx"):
            for path in spool.files(bucket, objects(*keys)):
                assert path.exists()
                files = [file for file in tmp_path.rglob("*") if file.is_file() and "lock" not in file.name]
                assert len(files) * 10 <= max_bytes


def test_a_file_larger_than_the_spool_is_an_error_that_names_the_settings(
    spool: Spool, bucket: Bucket
) -> None:
    files = spool.files(bucket, [*objects("a"), *objects("huge", size=31)])
    assert next(files).read_text() == "half of a"
    with pytest.raises(FatalError) as caught:
        next(files)
    for part in ("bucket://b/huge", "31 bytes", "30", "spool_max_bytes", "spool_dir"):
        assert part in str(caught.value)
    assert bucket.fetched == ["a"]


def full(number: int) -> OSError:
    return OSError(number, "No space left on device")


def explained(cause: OSError) -> FatalError:
    """As a store explains it, which knows nothing of the spool."""
    error = FatalError(asked="reading a", got="no space", do="ask the provider")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error", [full(errno.ENOSPC), full(errno.EDQUOT), explained(full(errno.ENOSPC))], ids=repr
)
@pytest.mark.parametrize("keys", [["a"], ["b", "a"]], ids=["asked for", "fetched ahead"])
def test_a_full_disk_is_an_error_that_names_the_spools_folder(
    tmp_path: Path, bucket: Bucket, error: Exception, keys: list[str]
) -> None:
    bucket.failing["a"] = error
    with Spool(tmp_path, 30) as spool, pytest.raises(FatalError) as caught:
        list(spool.files(bucket, objects(*keys)))
    assert f"writing to the spool in {tmp_path}" in str(caught.value)
    assert "spool_dir" in str(caught.value)


def test_any_other_error_of_the_disk_stays_what_it_is(spool: Spool, bucket: Bucket) -> None:
    bucket.failing["a"] = OSError(errno.EIO, "I/O error")
    with pytest.raises(OSError, match="I/O error"):
        next(spool.files(bucket, objects("a")))


def test_local_files_are_read_where_they_lie(spool: Spool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("export")
    for name in ("1.csv", "2.csv"):
        (folder / name).write_text("x" * 100)
    store = FolderStore(folder)
    assert list(spool.files(store, list(store.list("")))) == [folder / "1.csv", folder / "2.csv"]
    assert (folder / "1.csv").exists()


def test_a_file_in_use_stays_although_another_reader_has_finished_with_it(
    spool: Spool, bucket: Bucket
) -> None:
    one, other = spool.files(bucket, objects("a")), spool.files(bucket, objects("a"))
    path = next(one)
    assert next(other) == path
    assert list(other) == []
    list(spool.files(bucket, objects("b", "c")))
    list(spool.files(bucket, objects("d")))
    assert path.read_text() == "half of a"


def test_a_file_in_use_stays_although_another_reader_stopped_early(spool: Spool, bucket: Bucket) -> None:
    path = next(reader := spool.files(bucket, objects("a")))
    other = spool.files(bucket, objects("b", "c"))
    next(other)
    other.close()  # type: ignore[attr-defined]  # a generator, which the signature need not say
    list(spool.files(bucket, objects("d")))
    assert path.read_text() == "half of a"
    assert list(reader) == []


def test_a_file_under_way_for_one_reader_is_waited_for_by_another(spool: Spool, bucket: Bucket) -> None:
    bucket.gates["b"] = threading.Event()
    bucket.begun["b"] = threading.Event()
    one = spool.files(bucket, objects("a", "b"))
    next(one)
    assert bucket.begun["b"].wait(WAIT)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(lambda: next(spool.files(bucket, objects("b"))).read_text())
        wait([other], 0.2)  # a reader that does not wait is done long before
        waiting = not other.done()
        bucket.gates["b"].set()
        assert waiting
        assert other.result(WAIT) == "half of b"
    assert [path.read_text() for path in one] == whole("b")
    assert bucket.fetched == ["a", "b"]


@pytest.mark.parametrize("failing", [False, True])
def test_nothing_stays_after_an_error_in_the_middle(tmp_path: Path, bucket: Bucket, failing: bool) -> None:  # noqa: FBT001
    bucket.failing = {"b": OSError("broken")} if failing else {}

    def use(spool: Spool) -> None:
        with spool:
            for _ in spool.files(bucket, objects("a", "b", "c")):
                raise KeyError

    with pytest.raises(KeyError):
        use(Spool(tmp_path, 30))
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 30)
    spool.close()
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_runs_are_removed_and_those_of_running_ones_are_not(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from offgridflow_common.exports.spool import Spool\n"
        "spool = Spool(pathlib.Path(sys.argv[1]), 30)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        [alive] = tmp_path.iterdir()
        (alive / "data.csv").write_text("being read")
        with Spool(tmp_path, 30):
            assert (alive / "data.csv").read_text() == "being read"
            assert len(list(tmp_path.iterdir())) == 2
        process.kill()
        process.wait(WAIT)
        assert list(tmp_path.iterdir()) == [alive]
        with Spool(tmp_path, 30):
            assert not alive.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("somebody-elses", "offgridflow-spool-without-a-lock"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Spool(tmp_path, 30):
            pass
    assert len(list(tmp_path.rglob("file"))) == 2
