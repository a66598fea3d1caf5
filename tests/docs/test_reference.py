"""The reference of each tap says what its code declares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.docs.documents import AWS, DUCKDB, README, TAPS
from tests.docs.reference import GENERATED, generated, settings_of

if TYPE_CHECKING:
    from pathlib import Path

#: Characters that an identifier has at most there.
_POSTGRESQL_LENGTH = 63


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("tap", TAPS)
def test_the_reference_says_what_the_code_declares(tap: str, name: str) -> None:
    (written,) = generated(name).findall(TAPS[tap].reference.read_text("utf-8"))
    assert written == GENERATED[name](TAPS[tap]), "run: python -m tests.docs.reference"


def test_the_document_of_the_loader_lists_its_settings() -> None:
    (written,) = generated("settings").findall(DUCKDB.read_text("utf-8"))
    assert written == settings_of(TargetOffgridflowDuckdb), "run: python -m tests.docs.reference"


@pytest.mark.parametrize("document", [README, AWS.guide], ids=lambda path: path.name)
def test_names_that_are_too_long_for_postgresql_are_named(document: Path) -> None:
    named = re.findall(r'`"!(\w+\.\w+)"`', document.read_text("utf-8"))
    assert named == [
        f"{stream}.{column.name}"
        for of in TAPS.values()
        for stream, read in of.streams.items()
        for column in read.columns
        if len(column.name) > _POSTGRESQL_LENGTH
    ]


def test_the_readme_stays_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 250
