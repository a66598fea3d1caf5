"""The table of what is compared, and how each of it is started."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.clouds import discovered, tap_s3_csv
from benchmarks.columns import COLUMN_SETS, ColumnSet, names
from benchmarks.inputs import DATA, EXPORT, MONTH, Input

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.clouds import Clouds

Family = Literal["tap", "SDK tap", "tap-s3-csv", "polars", "duckdb"]

RUN = DATA / "run"
BATCHES = RUN / "batches"
_TAP = [sys.executable, "-m", "tap_offgridflow_aws"]
_SDK_TAP = [sys.executable, "-m", "benchmarks.sdk_tap"]
_ENGINES = [sys.executable, "-m", "benchmarks.engines"]
_ENCODINGS = {"parquet": {"format": "parquet"}, "jsonl.gz": {"format": "jsonl", "compression": "gzip"}}
_STREAM = "cost_and_usage"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the result, for each format of the input.

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
        """Names the case among those of one format."""
        return f"{self.family}: {self.what}"


def cases(commands: Commands) -> list[Case]:
    """All cases, the same for each format."""
    tap, sdk, s3_csv, engine = commands.tap, commands.sdk_tap, commands.s3_csv, commands.engine

    def batch(family: Family, command: Callable[..., list[str]], encoding: str) -> Case:
        what, run = f"BATCH {encoding}, 25 columns", partial(command, columns="25", batch=encoding)
        return Case(family, what, encoding, run, slow=True, records=False)

    def ndjson(family: Family, columns: ColumnSet) -> Case:
        run = partial(engine, f"{family}-ndjson", columns)
        return Case(family, f"NDJSON, {columns} columns", columns, run, records=False)

    return [
        Case("tap", "25 columns", "25", partial(tap, columns="25")),
        Case("tap", "25 columns and 5 maps", "30", partial(tap, columns="30")),
        Case("tap", "125 columns, no maps", "125", partial(tap, columns="125")),
        Case("tap", "130 columns", "130", partial(tap, columns="130")),
        Case("tap", "25 columns from S3", "25", partial(tap, columns="25", s3=True), s3=True),
        Case("tap", "activities alone", "group", commands.activities, records=False),
        Case("tap", "25 columns, record path", "25", partial(tap, columns="25", stream_map=True), slow=True),
        *(batch("tap", tap, encoding) for encoding in _ENCODINGS),
        *(batch("SDK tap", sdk, encoding) for encoding in _ENCODINGS),
        Case("SDK tap", "25 columns", "25", partial(sdk, columns="25"), slow=True),
        Case("SDK tap", "130 columns", "130", partial(sdk, columns="130"), slow=True),
        Case("tap-s3-csv", "25 columns", "25", partial(s3_csv, columns="25"), slow=True, s3=True),
        Case("tap-s3-csv", "130 columns", "130", partial(s3_csv, columns="130"), slow=True, s3=True),
        *(ndjson("polars", columns) for columns in COLUMN_SETS),
        *(ndjson("duckdb", columns) for columns in COLUMN_SETS),
        Case("polars", "group-by of usage", "group", partial(engine, "polars-group", "25"), records=False),
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
        columns: ColumnSet,
        *,
        s3: bool = False,
        stream_map: bool = False,
        batch: str | None = None,
    ) -> list[str]:
        """This tap, line items; a stream map that changes nothing forces the record path."""
        url = f"s3://{self._clouds.bucket}/{given.root.name}/exports/{EXPORT}" if s3 else given.url
        config = self._tap_config(url) | _batch_config(batch)
        if stream_map:
            config["stream_maps"] = {_STREAM: {"pricing_unit": "pricing_unit"}}
        return [*_TAP, *self._options(config, _selecting(self._catalog, _STREAM, names(columns)))]

    def activities(self, given: Input) -> list[str]:
        """This tap, activities alone."""
        catalog = _selecting(self._catalog, "activities", None)
        return [*_TAP, *self._options(self._tap_config(given.url), catalog)]

    def sdk_tap(self, given: Input, columns: ColumnSet, *, batch: str | None = None) -> list[str]:
        """The plain SDK tap."""
        config = {"path": str(given.file), "columns": columns} | _batch_config(batch)
        return [*_SDK_TAP, *self._options(config)]

    def s3_csv(self, given: Input, columns: ColumnSet) -> list[str]:
        """tap-s3-csv, with the catalog that it discovers by itself."""
        table = {
            "table_name": _STREAM,
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
        return [*program, *self._options(config, _selecting(catalog, _STREAM, names(columns)))]

    @staticmethod
    def engine(name: str, columns: ColumnSet, given: Input) -> list[str]:
        """An engine alone."""
        return [*_ENGINES, name, str(given.file), columns]

    @cached_property
    def _catalog(self) -> dict[str, Any]:
        return discovered(_TAP, {})

    def _tap_config(self, url: str) -> dict[str, Any]:
        year, month = map(int, MONTH.split("-"))
        return {
            "exports": [{"name": EXPORT, "type": "cur2", "url": url}],
            "start_date": f"{MONTH}-01",
            "end_date": f"{year + month // 12}-{month % 12 + 1:02}-01",
            "aws_endpoint_urls": dict(self._clouds.endpoint_urls),
            **self._clouds.credentials,
        }

    def _options(self, config: dict[str, Any], catalog: dict[str, Any] | None = None) -> list[str]:
        options = []
        for name, content in (("config", config), ("catalog", catalog)):
            if content is not None:
                path = RUN / f"{next(self._numbers)}-{name}.json"
                path.write_text(json.dumps(content))
                options += [f"--{name}", str(path)]
        return options


def _batch_config(encoding: str | None) -> dict[str, Any]:
    if encoding is None:
        return {}
    storage = {"root": BATCHES.absolute().as_uri()}
    return {"batch_config": {"encoding": _ENCODINGS[encoding], "storage": storage}}


def _selecting(catalog: dict[str, Any], stream: str, columns: list[str] | None) -> dict[str, Any]:
    """The catalog with one stream selected, and of it some columns or all."""
    selected: dict[str, Any] = json.loads(json.dumps(catalog))
    for entry in selected["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["stream"] == stream
            elif columns is not None:
                item["metadata"]["selected"] = item["breadcrumb"][-1] in columns
    return selected
