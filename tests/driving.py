"""Driving a tap in tests: in this process where speed matters, else as the real command."""

from __future__ import annotations

import copy
import io
import json
import logging
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from offgridflow_common.singer.tap import OffGridFlowTap

Message = dict[str, Any]
State = Message

SECONDS = 60


@dataclass(frozen=True)
class Run:
    """What a run of the tap left behind.

    Attributes:
        stdout: The messages as they went out.
        stderr: The log.
        exit_code: 0 if all went well.
        line_items: The stream that is meant where none is named.
    """

    stdout: bytes
    stderr: str
    exit_code: int
    line_items: str = ""

    @cached_property
    def messages(self) -> list[Message]:
        """All messages; a line that is not one fails the test."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def records(self, stream: str | None = None) -> list[Message]:
        """The records of a stream, in the order they went out."""
        wanted = stream or self.line_items
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == wanted
        ]

    @property
    def states(self) -> list[Message]:
        """All states, in the order they went out."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> Message:
        """The last state: what the next run begins with; empty if there was none."""
        states = self.states
        return states[-1] if states else {}


@dataclass(frozen=True)
class Driver:
    """Drives one tap.

    Attributes:
        tap: The tap.
        module: What ``python -m`` runs.
        line_items: Its stream of line items.
    """

    tap: type[OffGridFlowTap]
    module: str
    line_items: str

    def catalog(
        self,
        select: Iterable[str],
        *,
        deselect: Mapping[str, Iterable[str]] | None = None,
        full_table: Iterable[str] = (),
    ) -> dict[str, Any]:
        """What discovery prints, with a selection.

        Args:
            select: The streams.
            deselect: Properties of selected streams that are not wanted.
            full_table: The streams that are to read everything again.
        """
        discovered: dict[str, Any] = json.loads(_discovered(self.tap))
        for stream in discovered["streams"]:
            name = stream["tap_stream_id"]
            unwanted = set((deselect or {}).get(name, ()))
            if name in full_table:
                stream["replication_method"] = "FULL_TABLE"
            for entry in stream["metadata"]:
                if not entry["breadcrumb"]:
                    entry["metadata"]["selected"] = name in select
                    if name in full_table:
                        entry["metadata"]["forced-replication-method"] = "FULL_TABLE"
                elif entry["breadcrumb"][-1] in unwanted:
                    entry["metadata"] |= {"selected": False, "inclusion": "available"}
        return discovered

    def run_here(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None,
        selection: Mapping[str, Any],
        *,
        dry: bool = False,
    ) -> Run:
        """Run the tap in this process; with `dry`, as `--test` does."""
        raw = io.BytesIO()
        exit_code = 0
        with ExitStack() as stack:
            log = stack.enter_context(_captured_log())
            stack.enter_context(_kept_signal_handlers())
            stack.enter_context(redirect_stdout(io.TextIOWrapper(raw, encoding="utf-8", write_through=True)))
            try:
                tap = self.tap(
                    config=copy.deepcopy(dict(config)),
                    state=copy.deepcopy(dict(state or {})),
                    catalog=copy.deepcopy(dict(selection)),
                )
                if dry:
                    tap.run_sync_dry_run()
                else:
                    tap.run()
            except SystemExit as end:
                exit_code = int(end.code or 0)
            except ConfigValidationError as error:
                exit_code = 1
                log.write("\n".join([str(error), *error.errors]) + "\n")
            return Run(raw.getvalue(), log.getvalue(), exit_code, self.line_items)

    def command(
        self,
        folder: Path,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None,
        selection: Mapping[str, Any],
    ) -> list[str]:
        """The command line of a run whose files are written to a folder."""
        files = {"config": config, "catalog": selection} | ({"state": state} if state else {})
        line = [sys.executable, "-m", self.module]
        for name, content in files.items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            line += [f"--{name}", str(path)]
        return line

    def run_process(self, line: Sequence[str], environment: Mapping[str, str]) -> Run:
        """Run a command to its end."""
        done = subprocess.run(line, env=dict(environment), capture_output=True, timeout=SECONDS, check=False)
        return Run(done.stdout, done.stderr.decode(), done.returncode, self.line_items)


@cache
def _discovered(tap: type[OffGridFlowTap]) -> str:
    return json.dumps(tap(config={}).catalog_dict)


@contextmanager
def _captured_log() -> Iterator[io.StringIO]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
