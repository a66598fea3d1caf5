"""The generated parts of the references; ``python -m tests.docs.reference`` writes them anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from click.testing import CliRunner

from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.columns import Kind
from offgridflow_common.singer.line_items import LineItemStream
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.docs.documents import DUCKDB, TAPS, Documented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from singer_sdk.plugin_base import PluginBase

    from offgridflow_common.columns import Column

_TYPES = {
    Kind.STRING: "string",
    Kind.NUMBER: "number",
    Kind.INTEGER: "integer",
    Kind.TIMESTAMP: "date-time",
    Kind.STRING_MAP: "object of strings",
    Kind.NUMBER_MAP: "object of numbers",
    Kind.OBJECT: "object",
}


def settings_of(plugin: type[PluginBase]) -> str:
    """The table of a plugin's settings, as its command line prints it."""
    about = CliRunner().invoke(plugin.cli, ["--about", "--format=markdown"]).output
    settings = about.partition("## Settings")[2]
    return "\n".join(line for line in settings.splitlines() if line.startswith("|"))


def settings_table(of: Documented) -> str:
    return settings_of(of.tap)


def streams_table(of: Documented) -> str:
    rows = [
        [
            f"`{name}`",
            str(type(stream).__doc__).splitlines()[0],
            ", ".join(f"`{key}`" for key in stream.primary_keys),
            f"`{stream.replication_key}`" if stream.replication_key else "none: read whole",
            "yes" if stream.selected_by_default else "no",
        ]
        for name, stream in of.streams.items()
    ]
    return _table(["stream", "what it holds", "key", "replication key", "selected by default"], rows)


def column_tables(of: Documented) -> str:
    exports = {name: stream for name, stream in of.streams.items() if isinstance(stream, LineItemStream)}
    (place,) = {_columns_beside_the_table(stream) for stream in exports.values()}
    lists = [
        f"- `{name}`: {_columns_list(stream.columns)}"
        for name, stream in of.streams.items()
        if name not in {*exports, "activities"}
    ]
    names = ", ".join(f"`{name}` (of {_own_columns(stream)} columns)" for name, stream in exports.items())
    lists.append(f"- Before the columns of the export in {names}: {_columns_list(place)}")
    rows = [[f"`{column.name}`", _TYPES[column.kind], column.description] for column in ACTIVITY_COLUMNS]
    return f"{_table(['column of `activities`', 'type', 'meaning'], rows)}\n\n" + "\n".join(lists)


GENERATED: dict[str, Callable[[Documented], str]] = {
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


def generated(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n\n)(.*?)\n*(?=<!-- end of {name} -->)", re.DOTALL)


def rewrite(document: Path, parts: Mapping[str, str]) -> None:
    """Write the generated parts of a document anew."""
    text = document.read_text("utf-8")
    for name, part in parts.items():
        found = generated(name).search(text)
        assert found, name
        text = f"{text[: found.start()]}{part}\n\n{text[found.end() :]}"
    document.write_text(text, "utf-8")


if __name__ == "__main__":
    for documented in TAPS.values():
        rewrite(documented.reference, {name: make(documented) for name, make in GENERATED.items()})
    rewrite(DUCKDB, {"settings": settings_of(TargetOffgridflowDuckdb)})
