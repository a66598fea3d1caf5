"""gzip: either library reads what the other wrote, and says in a known way what is damaged."""

from __future__ import annotations

import gzip
import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.exports import gzipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

CONTENT = b"a,b\n" + b"1,2\n" * 100_000


@pytest.fixture(params=["zlib-ng", "standard library"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    if request.param == "standard library":
        monkeypatch.setitem(sys.modules, "zlib_ng", None)
    yield importlib.reload(gzipped)
    monkeypatch.undo()
    importlib.reload(gzipped)


def read(library: ModuleType, path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    with library.open_gzip(path) as file:
        return bytes(file.read())


@pytest.mark.parametrize("members", [1, 3])
def test_all_members_are_read(library: ModuleType, tmp_path: Path, members: int) -> None:
    assert read(library, tmp_path / "a.gz", gzip.compress(CONTENT) * members) == CONTENT * members


def test_what_is_compressed_is_gzip(library: ModuleType) -> None:
    compressed = library.compressed(lambda file: file.write(CONTENT))
    assert gzip.decompress(compressed) == CONTENT
    assert len(compressed) < len(CONTENT) / 50


WHOLE = gzip.compress(CONTENT)


@pytest.mark.parametrize(
    "damaged",
    [
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-6] + b"\0" + WHOLE[-5:],
        WHOLE[:30] + b"\xff\xff\xff" + WHOLE[33:],
        WHOLE + b"more",
        CONTENT,
    ],
    ids=["last byte", "half", "checksum", "data", "tail", "no gzip"],
)
def test_damage_is_never_taken_for_an_end(library: ModuleType, tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(library.DAMAGED):
        read(library, tmp_path / "a.gz", damaged)
