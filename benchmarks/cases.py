"""The table of what is compared, and how each of it is started."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.clouds import discovered, tap_s3_csv
from benchmarks.inputs import DATA, EXPORT, MONTH, Input
from benchmarks.subjects import FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from benchmarks.clouds import Clouds
    from benchmarks.subjects import Subject, Tap

Family = Literal["tap", "SDK tap", "tap-s3-csv", "polars", "duckdb"]

RUN = DATA / "run"
BATCHES = RUN / "batches"
_SDK_TAP = [sys.executable, "-m", "benchmarks.sdk_tap"]
_ENGINES = [sys.executable, "-m", "benchmarks.engines"]
_ENCODINGS = {"parquet": {"format": "parquet"}, "jsonl.gz": {"format": "jsonl", "compression": "gzip"}}

#: What column sets are called that are not just so many columns.
_NAMES = {"30": "25 columns and 5 maps", "125": "125 columns, no maps"}


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the result, of one subject.

    Attributes:
        family: What is run.
        what: What it is asked to do.
        work: Cases with the same word here do the same work, so their speeds are compared.
        command: How it is run on an input.
        slow: It reads fewer rows, and its start-up is taken off.
        records: It writes a RECORD message for each row, which is checked.
        s3: It reads from S3.
    """

    family: Family
    what: str
    work: str
    command: Callable[[Input], list[str]]
    slow: bool = False
    records: bool = True
    s3: bool = False

    @property
    def name(self) -> str:
        """Names the case among those of one subject."""
        return f"{self.family}: {self.what}"


def cases(subject: Subject, commands: Commands) -> list[Case]:
    """All cases of a subject."""
    tap, sdk, s3_csv, engine = commands.tap, commands.sdk_tap, commands.s3_csv, commands.engine
    every = list(subject.sets)
    ends = [FEW, subject.whole]
    encodings = list(_ENCODINGS) if subject.thorough else ["parquet"]
    with_s3_csv = ends if subject.thorough else [FEW] if subject.format == "csv" else []

    def reading(family: Family, command: Callable[..., list[str]], columns: str, **how: bool) -> Case:
        what = _NAMES.get(columns, f"{columns} columns")
        return Case(family, what, columns, partial(command, columns=columns), **how)

    def batch(family: Family, command: Callable[..., list[str]], encoding: str) -> Case:
        what, run = f"BATCH {encoding}, {FEW} columns", partial(command, columns=FEW, batch=encoding)
        return Case(family, what, encoding, run, slow=True, records=False)

    def ndjson(family: Family, columns: str) -> Case:
        run = partial(engine, f"{family}-ndjson", columns)
        return Case(family, f"NDJSON, {columns} columns", columns, run, records=False)

    from_s3 = Case("tap", f"{FEW} columns from S3", FEW, partial(tap, columns=FEW, s3=True), s3=True)
    record_path = partial(tap, columns=FEW, stream_map=True)
    return [
        *(reading("tap", tap, columns) for columns in every),
        *([from_s3] if subject.thorough else []),
        Case("tap", "activities alone", "group", commands.activities, records=False),
        Case("tap", f"{FEW} columns, record path", FEW, record_path, slow=True),
        *(batch("tap", tap, encoding) for encoding in encodings),
        *(batch("SDK tap", sdk, encoding) for encoding in encodings),
        *(reading("SDK tap", sdk, columns, slow=True) for columns in ends),
        *(reading("tap-s3-csv", s3_csv, columns, slow=True, s3=True) for columns in with_s3_csv),
        *(ndjson("polars", columns) for columns in every),
        *(ndjson("duckdb", columns) for columns in (every if subject.thorough else [FEW])),
        Case("polars", "group-by of usage", "group", partial(engine, "polars-group", FEW), records=False),
    ]


class Commands:
    """Command lines; the configurations and catalogs that they name are written below :data:`RUN`."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._numbers = itertools.count()
        shutil.rmtree(RUN, ignore_errors=True)
        BATCHES.mkdir(parents=True)

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
        names = [column.name for column in subject.sets[columns]]
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

    def s3_csv(self, given: Input, columns: str) -> list[str]:
        """tap-s3-csv, with the catalog that it discovers by itself."""
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
        return [*program, *self._options(config, _selecting(catalog, stream, headers))]

    @staticmethod
    def engine(name: str, columns: str, given: Input) -> list[str]:
        """An engine alone."""
        return [*_ENGINES, name, given.subject.name, str(given.file), columns]

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
    storage = {"root": BATCHES.absolute().as_uri()}
    return {"batch_config": {"encoding": _ENCODINGS[encoding], "storage": storage}}


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
