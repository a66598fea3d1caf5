"""The documents, the taps that they describe, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tap_offgridflow_azure.tap import TapOffgridflowAzure

if TYPE_CHECKING:
    from offgridflow_common.singer.streams import OffGridFlowStream
    from offgridflow_common.singer.tap import OffGridFlowTap

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MAPPING = ROOT / "docs" / "mapping.md"
OBSERVABILITY = ROOT / "docs" / "observability.md"
DUCKDB = ROOT / "docs" / "duckdb.md"


@dataclass(frozen=True)
class Documented:
    """A tap, and where it is described."""

    tap: type[OffGridFlowTap]
    package: str

    @property
    def cloud(self) -> str:
        """The last part of the tap's name: ``aws``."""
        return self.tap.name.rpartition("-")[2]

    @property
    def guide(self) -> Path:
        """Set-up and troubleshooting."""
        return ROOT / "docs" / f"{self.cloud}.md"

    @property
    def reference(self) -> Path:
        """Settings, streams and columns."""
        return ROOT / "docs" / f"{self.cloud}-reference.md"

    @property
    def env_prefix(self) -> str:
        """How the names of variables begin that hold its settings."""
        return f"{self.tap.name.replace('-', '_').upper()}_"

    @cached_property
    def streams(self) -> dict[str, OffGridFlowStream]:
        """Its streams by name."""
        tap = self.tap(config={})
        return {name: cast("OffGridFlowStream", stream) for name, stream in sorted(tap.streams.items())}


AWS = Documented(TapOffgridflowAws, "tap_offgridflow_aws")
AZURE = Documented(TapOffgridflowAzure, "tap_offgridflow_azure")
TAPS = {documented.tap.name: documented for documented in (AWS, AZURE)}

DOCUMENTS = (
    README,
    *(path for documented in TAPS.values() for path in (documented.guide, documented.reference)),
    DUCKDB,
    MAPPING,
    OBSERVABILITY,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
)


def blocks(document: Path, language: str) -> list[str]:
    """The blocks of code of a language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def all_blocks(language: str) -> list[Any]:
    """Those of all documents, as parameters of a test."""
    return [
        pytest.param(block, id=f"{document.name}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, language), start=1)
    ]
