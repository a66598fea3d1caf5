"""Settings: checked before anything is opened, and secret where they are secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.errors import BadRequestError
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.docs.documents import DUCKDB
from tests.target_duckdb.loading import INTEGER, record, schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.target_duckdb.loading import Loader

TOKEN = "motherduck-token-of-nobody"
SECONDS = 60


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "'path' is a required property"),
        ({"filepath": "x.duckdb", "path": "y.duckdb"}, "unknown setting 'filepath': did you mean 'path'?"),
        ({"path": "x", "batch_rows": 5}, "did you mean 'batch_size_rows'?"),
        ({"path": "x", "batch_size_rows": 0}, "batch_size_rows"),
        ({"path": "x", "load_method": "merge"}, "load_method"),
        ({"path": ""}, "path"),
        ({"path": ":memory:"}, "must name a file or a database of MotherDuck, which stay, not :memory:"),
        ({"path": "x", "memory_limit": "much"}, "memory_limit"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        TargetOffgridflowDuckdb(config=config)
    assert any(problem in error for error in caught.value.errors)


def test_the_folder_of_the_file_must_be_there(loader: Loader, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="nowhere"):
        loader.load(schema("s", k=INTEGER), path=str(tmp_path / "nowhere" / "x.duckdb"))


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", "k\n1\n"), ("x.json", '{"k": 1}'), ("x.parquet", None)]
)
def test_a_file_in_another_format_is_no_database(
    name: str, content: str | None, loader: Loader, tmp_path: Path
) -> None:
    """DuckDB opens it as a database in memory, in which rows would be gone with the run."""
    path = tmp_path / name
    if content is None:
        duckdb.sql("SELECT 1 AS k").write_parquet(str(path))
    else:
        path.write_text(content)
    before = path.read_bytes()
    with pytest.raises(BadRequestError, match="gone with the run"):
        loader.load(schema("s", k=INTEGER), record("s", k=1), path=str(path))
    assert path.read_bytes() == before


def test_files_are_in_the_format_that_the_document_names(loader: Loader) -> None:
    loader.load(schema("s", k=INTEGER), record("s", k=1))
    ((made,),) = loader.ask("SELECT tags['storage_version'] FROM duckdb_databases() WHERE tags <> MAP {}")
    (named,) = re.findall(r"format of DuckDB ([\d.]+):", DUCKDB.read_text("utf-8"))
    assert made == f"v{named}.0+"


def test_memory_may_be_limited(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[duckdb.DuckDBPyConnection] = []
    connect = duckdb.connect

    def keep(path: str, config: dict[str, str]) -> duckdb.DuckDBPyConnection:
        connections.append(connect(path, config=config))
        return connections[-1].cursor()

    monkeypatch.setattr(duckdb, "connect", keep)
    loader.load(schema("s", k=INTEGER), record("s", k=1), memory_limit="512 MiB")
    (connection,) = connections
    assert connection.sql("SELECT current_setting('memory_limit')").fetchall() == [("512.0 MiB",)]
    connection.close()


def test_what_is_no_database_is_refused(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database" * 1000)
    with pytest.raises(BadRequestError, match=r"notes\.txt"):
        loader.load(schema("s", k=INTEGER), path=str(tmp_path / "notes.txt"))


def test_a_file_that_another_process_has_open_is_refused_with_what_to_do(loader: Loader) -> None:
    program = (
        f"import duckdb, sys; connection = duckdb.connect({str(loader.path)!r}); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(BadRequestError, match="no other process has the file open"):
            loader.load(schema("s", k=INTEGER), record("s", k=1))
        other.communicate()
    loader.load(schema("s", k=INTEGER), record("s", k=1))
    assert loader.rows("s") == [{"k": 1}]


def run(tmp_path: Path, config: dict[str, Any], environment: dict[str, str]) -> str:
    """All that the command says, loading one record."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    messages = [schema("s", k=INTEGER), record("s", k=1)]
    done = subprocess.run(
        [sys.executable, "-m", "target_offgridflow_duckdb", "--config", tmp_path / "config.json"],
        input="\n".join(map(json.dumps, messages)),
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "TARGET_OFFGRIDFLOW_DUCKDB_LOGLEVEL": "DEBUG", **environment},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("config", "environment"),
    [
        ({"path": f"md:db?motherduck_token={TOKEN}"}, {}),
        ({"path": "md:db", "token": TOKEN}, {}),
        ({"path": "md:db"}, {"motherduck_token": TOKEN}),
        ({"path": "md:db", "tokens": TOKEN}, {}),
        ({"path": "md:db", "token": [TOKEN]}, {}),
    ],
    ids=str,
)
def test_the_token_of_motherduck_is_never_shown(
    tmp_path: Path, config: dict[str, Any], environment: dict[str, str]
) -> None:
    """Without a network there is no MotherDuck, so each of these fails, and says so in a long log."""
    said = run(tmp_path, config, environment)
    assert TOKEN not in said
    assert "opening md:db" in said or "Config validation failed" in said


def test_what_only_sounds_like_a_secret_is_shown(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "x.duckdb"
    said = run(tmp_path, {"path": str(nowhere)}, {"SECRETS_DIR": str(tmp_path), "TOKEN_CHECKS": "nowhere"})
    assert str(nowhere) in said


def test_motherduck_is_asked_for_by_path_with_the_token(
    monkeypatch: pytest.MonkeyPatch, loader: Loader
) -> None:
    """MotherDuck is out of reach of tests: a database in memory stands in for it from the connection on."""
    asked: list[tuple[str, dict[str, Any]]] = []
    connect = duckdb.connect

    def connect_here(path: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        asked.append((path, config))
        return connect(str(loader.path))

    monkeypatch.setattr(duckdb, "connect", connect_here)
    loader.load(schema("s", k=INTEGER), record("s", k=1), path="md:my_db", token=TOKEN)
    monkeypatch.undo()
    assert asked == [
        ("md:my_db", {"custom_user_agent": "target-offgridflow-duckdb", "motherduck_token": TOKEN})
    ]
    assert loader.rows("s") == [{"k": 1}]


def test_settings_come_from_the_environment_too(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET_OFFGRIDFLOW_DUCKDB_PATH", str(loader.path))
    monkeypatch.setenv("TARGET_OFFGRIDFLOW_DUCKDB_ADD_RECORD_METADATA", "true")
    target = TargetOffgridflowDuckdb(parse_env_config=True)
    assert target.config["path"] == str(loader.path)
    assert target.config["add_record_metadata"] is True
    assert target.config["batch_size_rows"] == 122_880
