"""A tap with streams of its own invention, which give what a plan says; and a way to run it in-process."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from singer_sdk import typing as th

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.settings import CommonSettings, RequestDefaults, common_properties, parse_common
from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.streams import OffGridFlowStream
from offgridflow_common.singer.tap import OffGridFlowTap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

NOW = datetime(2026, 11, 23, tzinfo=UTC)

#: By stream and partition, the blocks: each ids of rows, an error, or something to do meanwhile. A partition
#: that is an error itself cannot even be planned.
Plan = Mapping[str, Mapping[str, Any]]


class Items(OffGridFlowStream["TinyTap"]):
    """Gives what the tap's plan has under its name, but for what its state says was read."""

    name = "items"
    primary_keys = ("id",)
    replication_key = "at"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("id", Kind.INTEGER, required=True),
        Column("at", Kind.TIMESTAMP, required=True),
        Column("text"),
        Column("amount", Kind.NUMBER),
        Column("tags", Kind.STRING_MAP),
        Column("weights", Kind.NUMBER_MAP),
        Column("extra", Kind.OBJECT),
    )

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        return (self._pending,)

    def _pending(self) -> Iterator[Partition]:
        for label, blocks in self.tap.plan[self.name].items():
            if isinstance(blocks, Exception):
                raise blocks
            if not self.bookmarks.get({"part": label}):
                yield Partition(label, partial(self._blocks, blocks), partial(self._acknowledge, label))

    def _acknowledge(self, label: str, rows: int) -> None:
        self.bookmarks.set({"part": label}, {"rows": rows})

    def _blocks(self, blocks: Sequence[Any]) -> Iterator[pl.DataFrame]:
        for block in blocks:
            if isinstance(block, BaseException):
                raise block
            if callable(block):
                block()
            else:
                yield self._frame(block)

    def _frame(self, ids: Sequence[int]) -> pl.DataFrame:
        rows = [
            {
                "id": number,
                "at": NOW.replace(microsecond=number),
                "text": f'"{number}"\n' if number % 2 else None,
                "amount": number / 3,
                "tags": {"a": str(number), "b": None},
                "weights": {"a": number / 7},
            }
            for number in ids
        ]
        schema = {**polars_schema(self.columns), "extra": pl.Struct({"new": pl.Int64})}
        return pl.DataFrame([{**row, "extra": {"new": 1}} for row in rows], schema=schema).select(self.wanted)


class Zebras(Items):
    name = "zebras"


class Deliveries(Items):
    name = "deliveries"


class TinyTap(OffGridFlowTap):
    name = "tap-tiny"
    config_jsonschema = th.PropertiesList(
        *common_properties(RequestDefaults(5, 100, 30)), th.Property("api_token", th.StringType, secret=True)
    ).to_dict()
    plan: ClassVar[Plan] = {}

    @cached_property
    def settings(self) -> CommonSettings:
        return parse_common(self.config, NOW, self.wrong_settings)

    def discover_streams(self) -> list[OffGridFlowStream]:
        return [stream(self) for stream in (Items, Zebras, Deliveries) if stream.name in self.plan]


@dataclass
class Outcome:
    tap: TinyTap
    code: int | str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> str:
        """The messages' types in short: SRRT is SCHEMA, RECORD, RECORD, STATE."""
        return "".join("T" if message["type"] == "STATE" else message["type"][0] for message in self.messages)

    def records(self, stream: str = "items") -> list[dict[str, Any]]:
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def ids(self, stream: str = "items") -> list[int]:
        return [record["id"] for record in self.records(stream)]

    def parts(self, stream: str = "items") -> list[str]:
        """The partitions that the last state names."""
        states = [message["value"] for message in self.messages if message["type"] == "STATE"]
        entries = states[-1]["bookmarks"].get(stream, {}).get("partitions", []) if states else []
        return [entry["context"]["part"] for entry in entries]


PLAN = {"items": {"one": [[1, 2], [3]], "two": [[4]], "empty": []}}


def run(
    plan: Plan = PLAN,
    *,
    edit: Callable[[dict[str, Any]], None] = lambda _: None,
    prepare: Callable[[TinyTap], None] = lambda _: None,
    state: dict[str, Any] | None = None,
    **config: Any,
) -> Outcome:
    """Run the tap: ``edit`` changes the entries of its catalog, ``prepare`` the tap."""
    cls = type("PlannedTap", (TinyTap,), {"plan": plan})
    catalog = cls(config={}).catalog_dict
    for entry in catalog["streams"]:
        edit(entry)
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="utf-8") as stdout, redirect_stdout(stdout):
        outcome = Outcome(cls(config=config, catalog=catalog, state=state))
        prepare(outcome.tap)
        try:
            outcome.tap.run()
        except SystemExit as end:
            outcome.code = end.code
        stdout.flush()
        outcome.messages = [json.loads(line) for line in raw.getvalue().splitlines()]
    return outcome


def metadata_of(entry: dict[str, Any], *crumb: str) -> dict[str, Any]:
    for item in entry["metadata"]:
        if tuple(item["breadcrumb"]) == crumb:
            return item["metadata"]  # type: ignore[no-any-return]
    entry["metadata"].append({"breadcrumb": list(crumb), "metadata": {}})
    return entry["metadata"][-1]["metadata"]  # type: ignore[no-any-return]
