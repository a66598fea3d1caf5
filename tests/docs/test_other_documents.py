"""The other documents: mapping, observability, links, and the version."""

from __future__ import annotations

import csv
import json
import re
import shlex
import tomllib
from io import StringIO
from pathlib import Path

import pytest
import yaml
from obstore.store import from_url
from packaging.requirements import Requirement
from singer_sdk.helpers._batch import BatchConfig

from offgridflow_common import observability
from offgridflow_common.mapping_overrides import rows_of
from offgridflow_common.reference_data import TABLES, providers, vocabulary
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.docs.documents import DOCUMENTS, DUCKDB, MAPPING, OBSERVABILITY, ROOT, all_blocks, blocks


@pytest.mark.parametrize("block", all_blocks("csv"))
def test_an_example_of_a_mapping_file_is_taken(block: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(block, "utf-8")
    known = [row for kind in TABLES for provider in providers() for row in rows_of(kind, provider)]
    assert [
        row for kind in TABLES for provider in providers() for row in rows_of(kind, provider, path)
    ] != known
    assert {row["kind"] for row in csv.DictReader(StringIO(block))} <= set(TABLES)


def test_the_mapping_document_names_each_kind_with_its_columns_and_values() -> None:
    text = MAPPING.read_text("utf-8")
    for kind, spec in TABLES.items():
        (row,) = re.findall(rf"^\| `{kind}` \|.*$", text, re.MULTILINE)
        columns = re.findall(r"`(\w+)`", row.split("|")[4])
        assert columns == list(spec.columns)
        required = re.findall(r"`(\w+)`", row.split("|")[3])
        assert required == list(spec.required)
    for column in ("offgridflow_category", "offgridflow_location"):
        (line,) = re.findall(rf"^- `{column}`: (.*)$", text, re.MULTILINE)
        assert set(re.findall(r"`([\w-]+)`", line)) == vocabulary(column)


def test_the_observability_document_names_each_metric() -> None:
    code = Path(str(observability.__file__)).read_text("utf-8")
    metrics = set(re.findall(r"\bingestion_\w+", code))
    assert (
        set(re.findall(r"^\| `(ingestion_\w+)` \|", OBSERVABILITY.read_text("utf-8"), re.MULTILINE))
        == metrics
    )


def test_what_meltano_is_to_install_for_telemetry_is_two_packages_and_the_extra() -> None:
    """Meltano parts what is to be installed as a shell does."""
    (block,) = (block for block in blocks(OBSERVABILITY, "yaml") if "pip_url" in block)
    common, tap = shlex.split(
        yaml.safe_load(block)["pip_url"].replace("<repository URL>", "https://host/repository")
    )
    assert common.endswith("#subdirectory=offgridflow-common")
    requirement = Requirement(tap)
    project = tomllib.loads((ROOT / requirement.name / "pyproject.toml").read_text("utf-8"))["project"]
    assert requirement.url == f"git+https://host/repository#subdirectory={requirement.name}"
    assert requirement.extras <= set(project["optional-dependencies"])


def test_the_example_of_batch_files_in_a_bucket_is_taken() -> None:
    (block,) = blocks(DUCKDB, "json")
    target = TargetOffgridflowDuckdb(config=json.loads(block))
    storage = BatchConfig.from_dict(target.config["batch_config"]).storage
    assert from_url("s3://example-staging-bucket", **storage.params)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}


def test_the_changelog_has_the_version_that_the_packages_have() -> None:
    projects = [ROOT / "pyproject.toml", *ROOT.glob("*/pyproject.toml")]
    (version,) = {tomllib.loads(path.read_text("utf-8"))["project"]["version"] for path in projects}
    assert re.search(
        rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
