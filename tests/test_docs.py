"""What the documents say, held against the code: tables, commands, policies, examples, messages, links.

`python -m tests.test_docs` writes the generated parts of the README anew.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import shlex
import tomllib
from datetime import datetime, timedelta
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import botocore.validate
import duckdb
import polars as pl
import pytest
import yaml
from botocore import xform_name
from botocore.exceptions import ClientError, NoCredentialsError
from click.testing import CliRunner

from offgridflow_common import observability
from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.columns import Kind
from offgridflow_common.errors import ErrorClass
from offgridflow_common.mapping_overrides import table as mapping_table
from offgridflow_common.reference_data import TABLES, providers, vocabulary
from offgridflow_common.singer.line_items import LineItemStream
from tap_offgridflow_aws.activities.usage import USAGE_SOURCES
from tap_offgridflow_aws.client import translate
from tap_offgridflow_aws.error_codes import ACTIONS
from tap_offgridflow_aws.tap import TapOffgridflowAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from offgridflow_common.columns import Column
    from offgridflow_common.singer.streams import OffGridFlowStream

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
AWS = ROOT / "docs" / "aws.md"
MAPPING = ROOT / "docs" / "mapping.md"
OBSERVABILITY = ROOT / "docs" / "observability.md"
DOCUMENTS = (README, AWS, MAPPING, OBSERVABILITY, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
ENV_PREFIX = "TAP_OFFGRIDFLOW_AWS_"

_TYPES = {
    Kind.STRING: "string",
    Kind.NUMBER: "number",
    Kind.INTEGER: "integer",
    Kind.TIMESTAMP: "date-time",
    Kind.STRING_MAP: "object of strings",
    Kind.NUMBER_MAP: "object of numbers",
    Kind.OBJECT: "object",
}
_LOADED_TYPES = {Kind.NUMBER: pl.Float64(), Kind.INTEGER: pl.Int64(), Kind.TIMESTAMP: pl.Datetime("us")}


# The generated parts of the README.


@cache
def streams() -> dict[str, OffGridFlowStream]:
    tap = TapOffgridflowAws(config={})
    return {name: cast("OffGridFlowStream", stream) for name, stream in sorted(tap.streams.items())}


def about() -> str:
    return CliRunner().invoke(TapOffgridflowAws.cli, ["--about", "--format=markdown"]).output


def settings_table() -> str:
    settings = about().partition("## Settings")[2]
    return "\n".join(line for line in settings.splitlines() if line.startswith("|"))


def streams_table() -> str:
    rows = [
        [
            f"`{name}`",
            str(type(stream).__doc__).splitlines()[0],
            ", ".join(f"`{key}`" for key in stream.primary_keys),
            f"`{stream.replication_key}`",
            "yes" if stream.selected_by_default else "no",
        ]
        for name, stream in streams().items()
    ]
    return _table(["stream", "what it holds", "key", "replication key", "selected by default"], rows)


def column_tables() -> str:
    exports = {name: stream for name, stream in streams().items() if isinstance(stream, LineItemStream)}
    (place,) = {_columns_beside_the_table(stream) for stream in exports.values()}
    lists = [
        f"- `{name}`: {_columns_list(stream.columns)}"
        for name, stream in streams().items()
        if name not in {*exports, "activities"}
    ]
    names = ", ".join(f"`{name}` (of {_own_columns(stream)} columns)" for name, stream in exports.items())
    lists.append(f"- Before the columns of the export in {names}: {_columns_list(place)}")
    rows = [[f"`{column.name}`", _TYPES[column.kind], column.description] for column in ACTIVITY_COLUMNS]
    return f"{_table(['column of `activities`', 'type', 'meaning'], rows)}\n\n" + "\n".join(lists)


GENERATED: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "streams": streams_table,
    "columns": column_tables,
}


def _own_columns(stream: LineItemStream) -> int:
    return len(stream.columns) - len(_columns_beside_the_table(stream))


def _columns_beside_the_table(stream: LineItemStream) -> tuple[Column, ...]:
    of_files = {column.name for table in stream.tables.values() for column in table.columns}
    return tuple(column for column in stream.columns if column.name not in of_files)


def _columns_list(columns: Iterable[Column]) -> str:
    return ", ".join(f"`{column.name}` {_TYPES[column.kind]}" for column in columns)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _generated(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n\n)(.*?)\n*(?=<!-- end of {name} -->)", re.DOTALL)


def rewrite_readme() -> None:
    text = README.read_text("utf-8")
    for name, make in GENERATED.items():
        found = _generated(name).search(text)
        assert found, name
        text = f"{text[: found.start()]}{make()}\n\n{text[found.end() :]}"
    README.write_text(text, "utf-8")


@pytest.mark.parametrize("name", GENERATED)
def test_the_readme_says_what_the_code_declares(name: str) -> None:
    (written,) = _generated(name).findall(README.read_text("utf-8"))
    assert written == GENERATED[name](), "run: python -m tests.test_docs"


def test_the_readme_stays_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 250


# Blocks of code.


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def all_blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{document.name}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, language), start=1)
    ]


def commands(block: str) -> Iterator[list[str]]:
    """The commands of a shell block, each as its words."""
    lexer = shlex.shlex(block.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if set(token) <= set(";|&"):
            if words:
                yield words
            words = []
        else:
            words.append(token)


def _check_make(arguments: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {argument for argument in arguments if "=" not in argument} <= targets


def _check_tap(arguments: list[str]) -> None:
    known = {option for parameter in TapOffgridflowAws.cli.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= known


def _check_aws(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    if service == "s3":
        assert operation in {"ls", "sync"}
        return
    model = botocore.session.get_session().get_service_model(service)
    (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
    members = {xform_name(member, "-") for member in model.operation_model(name).input_shape.members}
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert options <= members | {"region", "query", "output"}


def _check_nothing(arguments: list[str]) -> None:
    del arguments


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _check_make,
    "tap-offgridflow-aws": _check_tap,
    "aws": _check_aws,
    **dict.fromkeys(("meltano", "uv", "pip", "python", "pytest", "target-jsonl", "export"), _check_nothing),
}


@pytest.mark.parametrize("block", all_blocks("bash"))
def test_commands_name_what_exists(block: str) -> None:
    for name, *arguments in commands(block):
        program = Path(name).name
        assert program in _CHECKS, f"{program} is not known here"
        _CHECKS[program](arguments)


@pytest.mark.parametrize("block", all_blocks("yaml"))
def test_yaml_names_real_settings_and_streams(block: str) -> None:
    plugins = yaml.safe_load(block).get("plugins", {}).get("extractors", [])
    for plugin in plugins:
        _check_settings({setting["name"] for setting in plugin.get("settings", ())} | set(plugin["config"]))
        TapOffgridflowAws(config=plugin["config"])
        for pattern in plugin["select"]:
            stream, _, column = pattern.removeprefix("!").partition(".")
            assert any(name == stream for name in streams())
            assert column == "*" or column in {known.name for known in streams()[stream].columns}


@pytest.mark.parametrize("block", all_blocks("json"))
def test_json_parses(block: str) -> None:
    content = json.loads(block)
    if "exports" in content:
        TapOffgridflowAws(config=content)


def _check_settings(names: set[str]) -> None:
    assert names <= set(TapOffgridflowAws.config_jsonschema["properties"])


def test_the_example_environment_names_real_settings() -> None:
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    own = {name.removeprefix(ENV_PREFIX).lower() for name in names if name.startswith(ENV_PREFIX)}
    assert own
    _check_settings(own)
    assert all(name.startswith((ENV_PREFIX, "OTEL_")) for name in names)


# SQL.


def _database(rows: Mapping[str, list[dict[str, object]]]) -> duckdb.DuckDBPyConnection:
    """A database with the tables that a loader makes of the streams, and the views of the README."""
    database = duckdb.connect()
    for name, stream in streams().items():
        schema = {column.name: _LOADED_TYPES.get(column.kind, pl.String()) for column in stream.columns}
        database.register("loaded", pl.DataFrame(rows.get(name, []), schema=schema))
        database.table("loaded").create(name)
    for block in blocks(README, "sql"):
        database.execute(block)
    return database


@pytest.mark.parametrize("block", all_blocks("sql"))
def test_sql_runs_on_the_tables_of_the_streams(block: str) -> None:
    _database({}).execute(block)


@pytest.fixture
def restated() -> duckdb.DuckDBPyConnection:
    """A month delivered twice and half a third time, and emissions that were restated beside usage."""
    october = datetime(2026, 10, 1)  # noqa: DTZ001 - as the loader keeps times
    days = [october, october + timedelta(days=1), october + timedelta(days=2)]
    month = {"export_name": "cur2", "billing_period": "2026-09"}
    delivered = [
        {**month, "delivery_id": delivery_id, "delivered_at": day}
        for delivery_id, day in zip(("one", "two", "half"), days, strict=True)
    ]
    same = {"external_id": "111122223333/2026-10", "period_start": october}
    emissions = {**same, "activity_type": "emissions"}
    first, second = "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"
    return _database(
        {
            "deliveries": delivered[:2],
            "cost_and_usage": [
                {**place, "line_item_unblended_cost": cost}
                for place, cost in zip(delivered, (1.0, 2.0, 4.0), strict=True)
            ],
            "activities": [
                {**emissions, "import_batch_id": first, "quantity": 8.0, "accounting_method": "both"},
                {**emissions, "import_batch_id": second, "quantity": 16.0, "accounting_method": "both"},
                {
                    **emissions,
                    "import_batch_id": second,
                    "quantity": 1.0,
                    "accounting_method": "location_based",
                },
                {
                    **emissions,
                    "import_batch_id": second,
                    "quantity": 2.0,
                    "accounting_method": "market_based",
                },
                {**same, "activity_type": "usage", "import_batch_id": f"{first}/one", "quantity": 64.0},
            ],
            "carbon_emissions": [
                {"period_start": october, "retrieved_at": day, "total_mbm_carbon_emissions": value}
                for day, value in zip(days, (1.0, 2.0, 4.0), strict=True)
            ],
        }
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT sum(line_item_unblended_cost) FROM current_cost_and_usage", 2.0),
        ("SELECT sum(quantity) FROM current_activities WHERE activity_type = 'emissions'", 19.0),
        ("SELECT sum(quantity) FROM current_activities WHERE activity_type = 'usage'", 64.0),
        ("SELECT sum(total_mbm_carbon_emissions) FROM current_carbon_emissions", 4.0),
    ],
)
def test_the_views_show_what_is_current(
    question: str, answer: float, restated: duckdb.DuckDBPyConnection
) -> None:
    assert restated.execute(question).fetchall() == [(answer,)]


def test_the_sum_of_emissions_takes_each_method_for_itself(restated: duckdb.DuckDBPyConnection) -> None:
    (query,) = (block for block in blocks(AWS, "sql") if "location_based_kg" in block)
    answer = restated.execute(query)
    names = [column[0] for column in answer.description]
    (row,) = answer.fetchall()
    sums = dict(zip(names, row, strict=True))
    assert (sums["location_based_kg"], sums["market_based_kg"]) == (17.0, 18.0)


def test_the_clean_up_leaves_what_is_current_and_what_may_become_it(
    restated: duckdb.DuckDBPyConnection,
) -> None:
    (statement,) = (block for block in blocks(AWS, "sql") if block.startswith("DELETE"))
    restated.execute(statement)
    left = restated.execute("SELECT delivery_id FROM cost_and_usage ORDER BY 1").fetchall()
    assert left == [("half",), ("two",)]


# AWS: the export, the policies.


def _policies() -> list[dict[str, Any]]:
    return [content for content in map(json.loads, blocks(AWS, "json")) if "Statement" in content]


def _actions(policy: dict[str, Any]) -> set[str]:
    actions = [statement["Action"] for statement in policy["Statement"]]
    return {name for action in actions for name in ([action] if isinstance(action, str) else action)}


def test_the_policies_allow_what_the_code_calls_and_the_readers_no_more() -> None:
    needed = set(re.findall(r"\b[a-z0-9-]+:[A-Z]\w+", " ".join(ACTIONS.values())))
    (reader,) = (policy for policy in _policies() if "s3:ListBucket" in _actions(policy))
    others = {action for policy in _policies() if policy is not reader for action in _actions(policy)}
    assert _actions(reader) <= needed <= _actions(reader) | others
    assert not any("Put" in action for action in _actions(reader))


def test_the_example_export_is_one_that_aws_would_take() -> None:
    (export,) = (content for content in map(json.loads, blocks(AWS, "json")) if "DataQuery" in content)
    model = botocore.session.get_session().get_service_model("bcm-data-exports")
    shape = model.operation_model("CreateExport").input_shape
    assert not botocore.validate.ParamValidator().validate({"Export": export}, shape).has_errors()
    output = model.shape_for("S3OutputConfigurations").members
    for name, value in export["DestinationConfigurations"]["S3Destination"]["S3OutputConfigurations"].items():
        assert value in output[name].enum
    statement = export["DataQuery"]["QueryStatement"]
    query = re.fullmatch(r"SELECT ([\w, ]+) FROM COST_AND_USAGE_REPORT", statement)
    assert query
    columns = set(query[1].split(", "))
    assert columns <= {column.name for column in streams()["cost_and_usage"].columns}
    assert set(USAGE_SOURCES["cur2"].columns) <= columns


# Messages.


@cache
def _texts_of_the_code() -> tuple[str, ...]:
    """All texts in the code; what is filled in at run time parts them."""
    packages = (Path(str(observability.__file__)).parent, Path(str(translate.__code__.co_filename)).parent)
    return tuple(
        piece
        for package in packages
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for piece in re.split(r"\{[^}]*\}|%[sd.\df]+", node.value)
    )


def _quoted_messages() -> Iterator[tuple[str, str]]:
    """The quoted messages of the troubleshooting, each with the error class it stands under."""
    troubleshooting = AWS.read_text("utf-8").partition("\n## Troubleshooting")[2].partition("\n## ")[0]
    for section in troubleshooting.split("\n### ")[1:]:
        heading = section.partition("\n")[0].strip("`")
        for block in re.findall(r"^```text\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
            yield from ((heading, line) for line in block.splitlines())


def _pattern(message: str) -> re.Pattern[str]:
    parts = re.split(r"<[^>]+>", message)
    return re.compile(".+?".join(map(re.escape, parts)))


def _answers(code: str | None) -> Iterator[str]:
    """What the tap makes of an answer with this code, or of missing credentials, whatever was asked."""
    said = {"Error": {"Code": code, "Message": "This."}, "ResponseMetadata": {"RequestId": "the-id"}}
    for operation in ACTIONS:
        error = ClientError(said, operation) if code else NoCredentialsError()
        for asked in ("listing s3://bucket/key/", "reading s3://bucket/key", f"{operation} for 2026-09"):
            yield str(translate(error, asked, operation))


def _stands_in_the_code(text: str) -> bool:
    """Whether a text is one of the code, or several that are joined as the parts of a message are."""
    text = text.strip(" .'")
    return any(text in known for known in _texts_of_the_code()) or any(
        _stands_in_the_code(text[: joint.start()]) and _stands_in_the_code(text[joint.end() :])
        for joint in re.finditer(r"[:.](?: |$)|^[:.] ", text)
        if joint.span() != (0, len(text))
    )


@pytest.mark.parametrize(("heading", "message"), list(_quoted_messages()))
def test_a_quoted_message_is_one_that_the_code_makes(heading: str, message: str) -> None:
    text, _, details = message.partition(" [class=")
    if details:
        assert ErrorClass(heading) == re.split(r"[,\]]", details)[0]
    code = re.search(r"code=(\w+)", details)
    if any(_pattern(message).fullmatch(answer) for answer in _answers(code[1] if code else None)):
        return
    assert not code
    assert [part for part in re.split(r"<[^>]+>", text) if not _stands_in_the_code(part)] == []


def test_each_error_class_has_its_messages() -> None:
    assert {heading for heading, _ in _quoted_messages()} == {error_class.value for error_class in ErrorClass}


def test_the_readme_names_each_error_class() -> None:
    text = README.read_text("utf-8").partition("\n## What fails")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {kind.value for kind in ErrorClass}


# The other documents.


@pytest.mark.parametrize("block", all_blocks("csv"))
def test_an_example_of_a_mapping_file_is_taken(block: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(block, "utf-8")
    known = [row for kind in TABLES for provider in providers() for row in mapping_table(kind, provider)]
    assert [
        row for kind in TABLES for provider in providers() for row in mapping_table(kind, provider, path)
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


if __name__ == "__main__":
    rewrite_readme()
