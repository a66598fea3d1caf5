"""How each program that is compared is started."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks.clouds import discovered, tap_s3_csv, target_duckdb
from benchmarks.inputs import DATA, EXPORT, MONTH, Input
from benchmarks.subjects import FEW

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmarks.clouds import Clouds
    from benchmarks.subjects import Subject, Tap

RUN = DATA / "run"

#: What a run leaves, removed before the next one.
_LEFT = RUN / "left"
_BATCHES = _LEFT / "batches"
#: What loaders load into.
DATABASE = _LEFT / "loaded.duckdb"

_SDK_TAP = [sys.executable, "-m", "benchmarks.sdk_tap"]
_LOADER = [sys.executable, "-m", "target_offgridflow_duckdb"]
_ENGINES = [sys.executable, "-m", "benchmarks.engines"]
ENCODINGS = {"parquet": {"format": "parquet"}, "jsonl.gz": {"format": "jsonl", "compression": "gzip"}}


def clean() -> None:
    """Remove what a run has left."""
    shutil.rmtree(_LEFT, ignore_errors=True)
    _BATCHES.mkdir(parents=True)


class Commands:
    """Command lines; the configurations and catalogs that they name are written below :data:`RUN`."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._numbers = itertools.count()
        shutil.rmtree(RUN, ignore_errors=True)
        clean()

    def tap(
        self,
        given: Input,
        columns: str,
        *,
        s3: bool = False,
        stream_map: bool = False,
        batch: str | None = None,
    ) -> list[str]:
        """A tap of ours, line items; a stream map that changes nothing forces the record path."""
        subject = given.subject
        url = f"s3://{self._clouds.bucket}/{given.root.name}/exports/{EXPORT}" if s3 else given.url
        config = self._tap_config(subject, url) | _batch_config(batch)
        names = [column.selected for column in subject.sets[columns]]
        if stream_map:
            config["stream_maps"] = {subject.stream: {names[-1]: names[-1]}}
        catalog = _selecting(_catalog(subject.tap), subject.stream, names)
        return [*_tap(subject.tap), *self._options(config, catalog)]

    def activities(self, given: Input) -> list[str]:
        """A tap of ours, activities alone."""
        subject = given.subject
        catalog = _selecting(_catalog(subject.tap), "activities", None)
        return [*_tap(subject.tap), *self._options(self._tap_config(subject, given.url), catalog)]

    def sdk_tap(self, given: Input, columns: str, *, batch: str | None = None) -> list[str]:
        """The plain SDK tap."""
        config = {"path": str(given.file), "subject": given.subject.name, "columns": columns}
        config |= _batch_config(batch)
        return [*_SDK_TAP, *self._options(config)]

    def s3_csv(self, given: Input, columns: str, *, loaded: bool = False) -> list[str]:
        """tap-s3-csv, with the catalog that it discovers by itself.

        If it is loaded, columns of which that says that their type is one of several are text: target-duckdb
        does not understand it otherwise.
        """
        stream = given.subject.stream
        table = {
            "table_name": stream,
            "search_prefix": f"{given.root.name}-file/",
            "search_pattern": "items",
            "key_properties": [],
        }
        config = {
            "bucket": self._clouds.bucket,
            "start_date": "2000-01-01T00:00:00Z",
            "tables": json.dumps([table]),
            **dict.fromkeys(("account_id", "external_id", "role_name"), "not used"),
        }
        program = [str(tap_s3_csv())]
        catalog = discovered([*program, *self._options(config)], self._clouds.env)
        headers = [column.header for column in given.subject.sets[columns]]
        if loaded:
            for schema in (entry["schema"]["properties"] for entry in catalog["streams"]):
                schema |= {name: {"type": ["null", "string"]} for name, of in schema.items() if "anyOf" in of}
        return [*program, *self._options(config, _selecting(catalog, stream, headers))]

    def loader(self) -> list[str]:
        """Our loader."""
        return [*_LOADER, *self._options({"path": str(DATABASE)})]

    def other_loader(self) -> list[str]:
        """target-duckdb."""
        config = {"filepath": str(DATABASE), "default_target_schema": "main", "primary_key_required": False}
        return [str(target_duckdb()), *self._options(config)]

    @staticmethod
    def engine(name: str, columns: str, given: Input) -> list[str]:
        """An engine alone."""
        return [*_ENGINES, name, given.subject.name, columns, str(given.file), str(DATABASE)]

    @staticmethod
    def counting(subject: Subject) -> list[str]:
        """Prints how many rows loaders have put into the subject's table."""
        return [*_ENGINES, "duckdb-count", subject.name, FEW, "", str(DATABASE)]

    def _tap_config(self, subject: Subject, url: str) -> dict[str, Any]:
        year, month = map(int, MONTH.split("-"))
        return {
            "exports": [{"name": EXPORT, "type": subject.export_type, "url": url}],
            "start_date": f"{MONTH}-01",
            "end_date": f"{year + month // 12}-{month % 12 + 1:02}-01",
            **self._clouds.settings(subject.tap),
        }

    def _options(self, config: dict[str, Any], catalog: dict[str, Any] | None = None) -> list[str]:
        options = []
        for name, content in (("config", config), ("catalog", catalog)):
            if content is not None:
                path = RUN / f"{next(self._numbers)}-{name}.json"
                path.write_text(json.dumps(content))
                options += [f"--{name}", str(path)]
        return options


def _tap(tap: Tap) -> list[str]:
    return [sys.executable, "-m", tap]


@cache
def _catalog(tap: Tap) -> dict[str, Any]:
    return discovered(_tap(tap), {})


def _batch_config(encoding: str | None) -> dict[str, Any]:
    if encoding is None:
        return {}
    storage = {"root": _BATCHES.absolute().as_uri()}
    return {"batch_config": {"encoding": ENCODINGS[encoding], "storage": storage}}


def _selecting(catalog: dict[str, Any], stream: str, columns: Collection[str] | None) -> dict[str, Any]:
    """The catalog with one stream selected, and of it some columns or all.

    Raises:
        LookupError: The stream has not all of the columns.
    """
    selected: dict[str, Any] = json.loads(json.dumps(catalog))
    missing = set(columns or ())
    for entry in selected["streams"]:
        is_wanted = entry["stream"] == stream
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = is_wanted
            elif columns is not None:
                item["metadata"]["selected"] = item["breadcrumb"][-1] in columns
                missing -= {item["breadcrumb"][-1]} if is_wanted else set()
    if missing:
        raise LookupError(f"{stream} has no columns {', '.join(sorted(missing))}")
    return selected
