"""The reference of each tap says what its code declares."""

from __future__ import annotations

import pytest

from tests.docs.documents import README, TAPS
from tests.docs.reference import GENERATED, generated


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("tap", TAPS)
def test_the_reference_says_what_the_code_declares(tap: str, name: str) -> None:
    (written,) = generated(name).findall(TAPS[tap].reference.read_text("utf-8"))
    assert written == GENERATED[name](TAPS[tap]), "run: python -m tests.docs.reference"


def test_the_readme_stays_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 250
