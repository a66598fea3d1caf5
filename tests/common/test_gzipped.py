"""gzip: what the standard library wrote is read, and the other way round; damage is told in a known way."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.exports.gzipped import DAMAGED, compressed, open_gzip

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"a,b\n" + b"1,2\n" * 100_000


def read(path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    with open_gzip(path) as file:
        return bytes(file.read())


@pytest.mark.parametrize("members", [1, 3])
def test_all_members_are_read(tmp_path: Path, members: int) -> None:
    assert read(tmp_path / "a.gz", gzip.compress(CONTENT) * members) == CONTENT * members


def test_what_is_compressed_is_gzip() -> None:
    packed = compressed(lambda file: file.write(CONTENT))
    assert gzip.decompress(packed) == CONTENT
    assert len(packed) < len(CONTENT) / 50


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
def test_damage_is_never_taken_for_an_end(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(DAMAGED):
        read(tmp_path / "a.gz", damaged)
