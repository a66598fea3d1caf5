"""The reference of each tap says what its code declares."""

from __future__ import annotations

import pytest

from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.docs.documents import DUCKDB, README, TAPS
from tests.docs.reference import GENERATED, generated, settings_of


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("tap", TAPS)
def test_the_reference_says_what_the_code_declares(tap: str, name: str) -> None:
    (written,) = generated(name).findall(TAPS[tap].reference.read_text("utf-8"))
    assert written == GENERATED[name](TAPS[tap]), "run: python -m tests.docs.reference"


def test_the_document_of_the_loader_lists_its_settings() -> None:
    (written,) = generated("settings").findall(DUCKDB.read_text("utf-8"))
    assert written == settings_of(TargetOffgridflowDuckdb), "run: python -m tests.docs.reference"


def test_the_readme_stays_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 250
