"""What the files of all dialects have in common, and what can be said of the two that are not run here."""

from __future__ import annotations

import re

import pytest
import sqlglot
from sqlglot import exp

from tests.sql.warehouses import FILES, SQL

DIALECTS = ("duckdb", "postgres", "snowflake", "bigquery")
#: DuckDB and PostgreSQL say themselves what they do not understand.
NOT_RUN = ("snowflake", "bigquery")
README = (SQL / "README.md").read_text("utf-8")


def statements(dialect: str, file: str) -> list[exp.Expr]:
    text = (SQL / dialect / f"{file}.sql").read_text("utf-8")
    return [statement for statement in sqlglot.parse(text, read=dialect) if statement is not None]


def views(dialect: str) -> dict[str, list[str]]:
    """The views that each file creates."""
    return {
        file: [table.name for created in statements(dialect, file) if (table := created.find(exp.Table))]
        for file in FILES
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_all_views_in_the_same_files(dialect: str) -> None:
    assert {path.stem for path in (SQL / dialect).iterdir()} == set(FILES)
    assert views(dialect) == views("duckdb")


def test_the_readme_lists_every_view_and_file_and_no_others() -> None:
    rows = re.findall(r"^\| `(\w+)\.sql` \| (.+?) \|", README, re.MULTILINE)
    assert {file: re.findall(r"`(\w+)`", cell) for file, cell in rows} == views("duckdb")
    assert [file for file, _ in rows] == list(FILES)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("dialect", NOT_RUN)
def test_a_dialect_that_is_not_run_holds_nothing_that_its_grammar_does_not_know(
    dialect: str, file: str
) -> None:
    for statement in statements(dialect, file):
        assert isinstance(statement, exp.Create)
        assert statement.kind == "VIEW"
        assert [unknown.sql() for unknown in statement.find_all(exp.Anonymous, exp.Command)] == []


@pytest.mark.parametrize("file", FILES)
def test_in_bigquery_every_table_is_named_with_its_dataset(file: str) -> None:
    """BigQuery knows no default dataset within a view."""
    for statement in statements("bigquery", file):
        parts = {part.alias for part in statement.find_all(exp.CTE)}
        named = [table for table in statement.find_all(exp.Table) if table.name not in parts]
        assert {table.db for table in named} == {"offgridflow"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_view_reads_what_only_some_loaders_add(dialect: str) -> None:
    for file in FILES:
        assert "_sdc" not in (SQL / dialect / f"{file}.sql").read_text("utf-8").lower()
