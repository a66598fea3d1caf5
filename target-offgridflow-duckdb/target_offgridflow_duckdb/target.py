"""The DuckDB target: state goes out when all that it covers is committed, never before."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from urllib.parse import parse_qsl

from singer_sdk import Target
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers.capabilities import (
    CapabilitiesEnum,
    PluginCapabilities,
    TargetCapabilities,
    TargetLoadMethods,
)
from singer_sdk.mapper import SameRecordTransform

from offgridflow_common.errors import BadRequestError, ContractBroken
from offgridflow_common.redaction import install_log_redaction, register_secrets
from offgridflow_common.settings import known_settings, plain_values, raise_config_errors, unknown_settings
from target_offgridflow_duckdb.database import Database
from target_offgridflow_duckdb.messages import RecordReader
from target_offgridflow_duckdb.settings import CONFIG_SCHEMA, TargetSettings, parse
from target_offgridflow_duckdb.sink import DuckDbSink, LoadingTarget
from target_offgridflow_duckdb.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from singer_sdk.sinks import Sink

_SECRET: Final = re.compile(r"(token|secret|password|(access|account|api|sas|secret)_?key)s?$", re.IGNORECASE)


class TargetOffgridflowDuckdb(LoadingTarget):
    """Loads streams into DuckDB or MotherDuck."""

    name = "target-offgridflow-duckdb"
    config_jsonschema = CONFIG_SCHEMA
    default_sink_class = DuckDbSink
    message_reader_class = RecordReader
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        *Target.capabilities,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.BATCH,
        TargetCapabilities.HARD_DELETE,
        TargetCapabilities.TARGET_SCHEMA,
    ]

    def __init__(self, *, config: dict[str, Any] | None = None, **options: Any) -> None:  # noqa: ANN401 - the SDK's
        """Create the target.

        Args:
            config: The configuration.
            **options: What else the SDK takes.

        Raises:
            ConfigValidationError: A setting is unknown, or wrong.
        """
        config = plain_values(config or {})
        register_secrets(_secrets_in(config))
        install_log_redaction()
        try:
            super().__init__(config=config, **options)
        except ConfigValidationError as error:
            # The SDK quotes the values that are wrong.
            raise_config_errors(error.errors)
            raise
        if options.get("validate_config", True):
            _ = self.settings
        # One connection loads one table after the other.
        self.max_parallelism = 1
        self._loads_stated = 0
        self._reader.after_block = self._handle_max_record_age

    @cached_property
    def settings(self) -> TargetSettings:
        """The settings, parsed once."""
        return parse(self.config, unknown_settings(self.config, known_settings(type(self))))

    @cached_property
    def tables(self) -> Tables:
        """The tables of the run."""
        settings = self.settings
        return Tables(
            Database(settings.path, settings.token, settings.memory_limit, when_failed=self._stop_waiting),
            settings.default_target_schema,
            overwrite=settings.load_method == TargetLoadMethods.OVERWRITE,
        )

    def get_sink(
        self,
        stream_name: str,
        *,
        record: dict[str, Any] | None = None,
        schema: dict[str, Any] | None = None,
        key_properties: Sequence[str] | None = None,
    ) -> Sink:
        """The sink of a stream; when its schema changes, what came before is loaded first."""
        if schema is not None and self.sink_exists(stream_name):
            self.drain_one(super().get_sink(stream_name))
        return super().get_sink(stream_name, record=record, schema=schema, key_properties=key_properties)

    def process_endofpipe(self) -> None:
        """Load what is left, then close the database."""
        with self._reader.undisturbed():
            super().process_endofpipe()
            self.tables.database.close()

    def _drain_all(self, sink_list: Iterable[Sink], parallelism: int) -> None:
        """Load what sinks hold, and wait until that is done: state may go out now."""
        super()._drain_all(sink_list, parallelism)
        self.tables.database.settle()

    @property
    def _reader(self) -> RecordReader:
        return cast("RecordReader", self.message_reader)

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Make or change a stream's sink, which takes records itself if the SDK need not touch them."""
        super()._process_schema_message(message_dict)
        stream = message_dict["stream"]
        self._reader.takers.pop(stream, None)
        if self._is_plain(stream):
            sink = self.get_sink(stream)
            if isinstance(sink, DuckDbSink) and not sink.validate_schema:
                self._reader.takers[stream] = sink

    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        stream = message_dict["stream"]
        if stream not in self.mapper.stream_maps:
            raise ContractBroken(
                asked=f"loading a BATCH of {stream}",
                got="no SCHEMA message of the stream before it",
                do="correct the tap: the schema says what the columns of the files are",
            )
        if not self._is_plain(stream):
            raise BadRequestError(
                asked=f"loading a BATCH of {stream}",
                got="stream maps or flattening, which need records",
                do="set them in the tap, or take `batch_config` away from it",
            )
        sink = self.get_sink(stream)
        if isinstance(sink, DuckDbSink) and (version := message_dict.get("version")) is not None:
            sink.tell_version(version)
        super()._process_batch_message(message_dict)

    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Activate a version, if the rows of this run tell which one they are of."""
        if self.settings.add_record_metadata:
            super()._process_activate_version_message(message_dict)
            return
        self.logger.warning(
            "Version %s of %s is not activated, and rows of earlier versions stay: that needs "
            "`add_record_metadata`",
            message_dict["version"],
            message_dict["stream"],
        )

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Keep a state; after something has been loaded, load all that it covers and let it go out."""
        super()._process_state_message(message_dict)
        if self.tables.database.loads != self._loads_stated:
            self.drain_all()
            self._loads_stated = self.tables.database.loads

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Stop when what is under way is done, then load what there is; after an error, nothing more."""
        if not self._reader.failed:
            self._reader.deferral.run(lambda: self._stop(signum, frame))

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Load what there is and exit; where that fails, the error shows, which the SDK's own way hides."""
        with self._reader.undisturbed():
            self.drain_all(is_endofpipe=True)
        with suppress(SystemExit):
            super(Target, self)._handle_termination(signum, frame)
        # As shells expect it of a signal: to the SDK, half of the input is a good end.
        sys.exit(128 + signum)

    @staticmethod
    def _stop_waiting() -> None:
        """Interrupt the wait for more input: what was read before could not be loaded.

        Where no thread can be interrupted, as on Windows, the error shows with the next input.
        """
        ident = threading.main_thread().ident
        if ident is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(ident, signal.SIGINT)

    def _is_plain(self, stream: str) -> bool:
        """Whether a stream's records are loaded as they come, without maps and flattening."""
        maps = self.mapper.stream_maps.get(stream, [])
        return len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled


def _secrets_in(config: Mapping[str, Any]) -> Iterator[str]:
    """Tokens of MotherDuck and of BATCH storage, from wherever they come."""
    parameters = parse_qsl(str(config.get("path")).partition("?")[2])
    for name, value in (*_leaves(config), *parameters, *os.environ.items()):
        if value and _SECRET.search(name):
            yield str(value)


def _leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All settings with their own names, those within others too."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield name, value
