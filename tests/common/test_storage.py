"""A folder as an object store: what is listed is what is read, or there is an error."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from offgridflow_common.errors import PermissionDenied, SourceChanged
from offgridflow_common.exports import storage
from offgridflow_common.exports.storage import FolderStore, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.exports.storage import ObjectStore

KEYS = ("export/data/B=1/2.csv", "export/data/B=1/10.csv", "export/data/a b/ü#?.csv", "export/meta.json")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    for key in (*KEYS, "export-2/data/other.csv"):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    (tmp_path / "export" / "empty folder").mkdir()
    return FolderStore(tmp_path)


def only(store: ObjectStore, key: str) -> ObjectInfo:
    [info] = [info for info in store.list("") if info.key == key]
    return info


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("export", KEYS), ("export/", KEYS), ("export/data/B=1/", KEYS[:2])],
)
def test_all_files_below_a_folder_are_listed_and_no_others(
    store: FolderStore, prefix: str, keys: tuple[str, ...]
) -> None:
    assert [info.key for info in store.list(prefix)] == sorted(keys)


def test_the_prefix_may_be_a_file(store: FolderStore) -> None:
    assert list(store.list("export/meta.json")) == [only(store, "export/meta.json")]


def test_a_file_that_vanishes_while_its_folder_is_listed_is_not_listed(store: FolderStore) -> None:
    """Whoever copies files gives them other names on the way."""
    files = [Path(store.uri(key).removeprefix("file://")) for key in ("export/meta.json", "export/gone.json")]
    with mock.patch.object(storage, "_files_below", return_value=files):
        assert [info.key for info in store.list("export")] == ["export/meta.json"]


def test_keys_sort_as_text_whatever_parts_they_have(tmp_path: Path) -> None:
    keys = ["a/b.csv", "a-b/c.csv", "a.csv", "a/b-c/d.csv", "a/b/c.csv"]
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()
    assert [info.key for info in FolderStore(tmp_path).list("")] == sorted(keys)


@pytest.mark.parametrize("prefix", ["export/data/a", "nowhere", "export/meta.json/x"])
def test_a_prefix_is_a_folder_and_one_that_is_not_there_is_empty(store: FolderStore, prefix: str) -> None:
    assert list(store.list(prefix)) == []


def test_an_entry_says_when_and_how_much_and_is_read_by_its_key(store: FolderStore, tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    os.utime(tmp_path / KEYS[0], (moment.timestamp(), moment.timestamp()))
    info = only(store, KEYS[0])
    assert (info.size, info.modified) == (len(KEYS[0]), moment)
    for key in KEYS:
        listed = only(store, key)
        assert store.read(listed) == key.encode()
        assert store.local_path(listed).read_bytes() == key.encode()


def test_the_address_of_a_key_can_be_opened(store: FolderStore, tmp_path: Path) -> None:
    uri = store.uri("export/data/a b/ü#?.csv")
    assert uri == f"{tmp_path.as_uri()}/export/data/a%20b/%C3%BC%23%3F.csv"


@pytest.mark.parametrize("key", [KEYS[0], "export/meta.json"])
def test_the_etag_changes_with_the_content(store: FolderStore, tmp_path: Path, key: str) -> None:
    before = only(store, key)
    assert only(store, key) == before
    (tmp_path / key).write_bytes(b"x" * before.size)
    later = before.modified.timestamp() + 60
    os.utime(tmp_path / key, (later, later))
    assert only(store, key).etag != before.etag
    with pytest.raises(SourceChanged, match="written or removed since it was listed"):
        store.local_path(before)


def test_a_copied_manifest_is_known_by_its_content(store: FolderStore, tmp_path: Path) -> None:
    before = only(store, "export/meta.json")
    shutil.copyfile(tmp_path / "export/meta.json", tmp_path / "export/copy.json")
    os.utime(tmp_path / "export/copy.json", (0, 0))
    assert only(store, "export/copy.json").etag == before.etag
    assert only(store, "export/copy.json").modified == datetime(1970, 1, 1, tzinfo=UTC)


def use_read(store: FolderStore, info: ObjectInfo, _: Path) -> object:
    return store.read(info)


def use_local_path(store: FolderStore, info: ObjectInfo, _: Path) -> object:
    return store.local_path(info)


def use_download(store: FolderStore, info: ObjectInfo, target: Path) -> object:
    store.download(info, target)
    return target.read_bytes()


@pytest.mark.parametrize("use", [use_read, use_local_path, use_download])
def test_a_file_that_is_gone_has_changed(
    store: FolderStore, tmp_path: Path, use: Callable[[FolderStore, ObjectInfo, Path], object]
) -> None:
    info = only(store, KEYS[0])
    (tmp_path / KEYS[0]).unlink()
    with pytest.raises(SourceChanged) as caught:
        use(store, info, tmp_path / "target")
    assert store.uri(KEYS[0]) in str(caught.value)


@pytest.mark.parametrize("use", [use_read, use_local_path, use_download])
def test_a_file_that_changed_since_it_was_listed_is_not_given(
    store: FolderStore, tmp_path: Path, use: Callable[[FolderStore, ObjectInfo, Path], object]
) -> None:
    info = only(store, KEYS[0])
    (tmp_path / KEYS[0]).write_bytes(b"longer than it was, and another thing altogether")
    with pytest.raises(SourceChanged):
        use(store, info, tmp_path / "target")


def test_a_download_is_a_copy(store: FolderStore, tmp_path: Path) -> None:
    info = only(store, KEYS[0])
    assert use_download(store, info, tmp_path / "target") == KEYS[0].encode()
    (tmp_path / "target").write_bytes(b"scribbled over")
    assert store.read(info) == KEYS[0].encode()


def test_times_are_aware_and_in_utc(store: FolderStore) -> None:
    assert {info.modified.utcoffset() for info in store.list("export")} == {timedelta(0)}


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("B=1"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionDenied, match=r"Permission denied: .*B=1\. let this user read"):
        list(store.list("export"))
