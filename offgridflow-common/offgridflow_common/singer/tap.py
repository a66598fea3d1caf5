"""The base of the taps: settings parsed once, secrets hidden, failures counted."""

from __future__ import annotations

import abc
import json
import os
import sys
import threading
import weakref
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

from dotenv import find_dotenv, load_dotenv
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.environment import settings_in, unknown_variables
from offgridflow_common.errors import OutputLost
from offgridflow_common.observability import Telemetry, install_log_context
from offgridflow_common.pipeline import RequestPipeline
from offgridflow_common.rate_limit import TokenBucket
from offgridflow_common.redaction import install_log_redaction, register_secrets
from offgridflow_common.retry import RetryPolicy
from offgridflow_common.settings import (
    known_settings,
    plain_values,
    raise_config_errors,
    unknown_settings,
    with_builtin_settings,
)
from offgridflow_common.singer.batch import BatchStore, StorageBatchStore, batch_errors
from offgridflow_common.singer.writer import BlockWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from singer_sdk.helpers._batch import StorageTarget
    from singer_sdk.plugin_base import _ConfigInput
    from singer_sdk.streams import Stream

    from offgridflow_common.errors import OffGridFlowError
    from offgridflow_common.settings import CommonSettings

#: What one request may take with all its attempts, downloads of large files included.
_DEADLINE_SECONDS = 3600.0

#: Activities of a delivery follow its line items, and it is told when all have read it.
_LAST = ("activities", "deliveries")


class OffGridFlowTap(Tap, abc.ABC):
    """A tap whose streams fail one by one, and which then ends with a non-zero exit code.

    Attributes:
        first_pause: Seconds to wait after the first answer that asks for a pause and does not say how long;
            None to wait as after any other that can be tried again.
    """

    message_writer_class = BlockWriter

    first_pause: ClassVar[float | None] = None

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        parse_env_config: bool = False,
        **options: Any,  # noqa: ANN401 - the SDK's
    ) -> None:
        """Create the tap.

        Args:
            config: The configuration.
            parse_env_config: Whether variables of the environment count before it.
            **options: What else the SDK takes.

        Raises:
            ConfigValidationError: A setting is unknown, wrong, or does not go with another.
        """
        given = dict(config or {})
        if parse_env_config:
            given |= self._settings_in_environment()
        config = plain_values(given)
        register_secrets(self._secrets_in(config))
        install_log_redaction()
        install_log_context()
        #: Set when the run is asked to stop: whatever waits ends at once.
        self.cancel = threading.Event()
        #: What is to be closed at the end of a run.
        self.resources = ExitStack()
        # Dry runs are the SDK's own and do not come by `run`.
        weakref.finalize(self, self.resources.close)
        #: Why streams failed, by stream.
        self.failures: dict[str, OffGridFlowError] = {}
        try:
            super().__init__(config=config, **options)
        except ConfigValidationError as error:
            # The SDK quotes the values that are wrong.
            raise_config_errors(error.errors)
            raise
        if options.get("validate_config", True):
            _ = self.settings

    @property
    @abc.abstractmethod
    def settings(self) -> CommonSettings:
        """The settings of this tap, made of its configuration once.

        Raises:
            ConfigValidationError: Settings are wrong; all that is wrong is reported at once.
        """

    @property
    def wrong_settings(self) -> list[str]:
        """A message for each setting that this tap does not know, and for what the SDK does not check."""
        known = known_settings(type(self)) | {"emit_activate_version_messages"}
        return unknown_settings(self.config, known) + batch_errors(self.config.get("batch_config"))

    @cached_property
    def telemetry(self) -> Telemetry:
        """Spans and metrics of this tap."""
        return Telemetry(self.name)

    @cached_property
    def started_at(self) -> datetime:
        """When the run began (aware, UTC): the moment that all its rows share."""
        return datetime.now(UTC).replace(microsecond=0)

    @cached_property
    def pipeline(self) -> RequestPipeline:
        """The way of all requests to the provider, within the limits of the settings."""
        settings = self.settings
        return RequestPipeline(
            limiter=TokenBucket(settings.rate_limit_per_second, settings.rate_limit_capacity),
            retry=RetryPolicy(
                max_attempts=settings.max_attempts,
                total_deadline=_DEADLINE_SECONDS,
                throttled_initial=self.first_pause,
            ),
            telemetry=self.telemetry,
            cancel=self.cancel,
        )

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams in the order they run: those that wait for others come last."""
        first_time = self._streams is None
        streams = super().streams
        if first_time:
            streams.update({name: streams.pop(name) for name in _LAST if name in streams})
        return streams

    def batch_store(self, storage: StorageTarget) -> BatchStore:
        """Where the BATCH files of a batch configuration go."""
        return StorageBatchStore(storage)

    def run(self) -> None:
        """Run all selected streams.

        Raises:
            SystemExit: A stream failed; the others have run. Or nothing can be written any more.
        """
        try:
            with self.resources, self.telemetry.span("sync"):
                self.sync_all()
        except OutputLost as error:
            self.logger.critical("%s", error)
            sys.exit(1)
        if self.failures:
            names = ", ".join(f"{name} ({error.error_class})" for name, error in self.failures.items())
            self.logger.error(
                "%d of %d streams failed: %s. What was emitted is good, and state ends where it does; "
                "the messages above say what to do.",
                len(self.failures),
                sum(stream.selected for stream in self.streams.values()),
                names,
            )
            sys.exit(1)

    @classmethod
    def invoke(  # type: ignore[override]  # the SDK's own override differs from its base in the same way
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap from its command line; the options are those of the SDK."""
        super(Tap, cls).invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        end_export = Telemetry.configure(cls.name)
        try:
            cls(
                config=config.config if config else {},
                state=json.load(state) if state else None,
                catalog=json.load(catalog) if catalog else None,
                parse_env_config=bool(config and config.parse_env),
            ).run()
        finally:
            end_export()

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the line that is being written, so that no message is torn."""
        self.cancel.set()
        writer = self.message_writer
        if isinstance(writer, BlockWriter):
            writer.deferral.run(lambda: self._end(signum, frame))
        else:
            self._end(signum, frame)

    def _end(self, signum: int, frame: FrameType | None) -> NoReturn:
        """Write state and end as shells expect it of a signal: to the SDK, half a run is a good one."""
        with suppress(SystemExit):
            super()._handle_termination(signum, frame)
        sys.exit(128 + signum)

    @classmethod
    def _settings_in_environment(cls) -> dict[str, Any]:
        """What variables say; those in a file ``.env`` of this folder or one above it count as such."""
        load_dotenv(find_dotenv(usecwd=True))
        properties = with_builtin_settings(cls)["properties"]
        found, errors = settings_in(os.environ, cls._env_var_prefix, properties)
        raise_config_errors([*errors, *unknown_variables(os.environ, cls._env_var_prefix, properties)])
        return found

    @classmethod
    def _secrets_in(cls, config: Mapping[str, Any]) -> Iterator[str]:
        """The values of the settings marked secret, from the configuration and the environment."""
        for name, schema in cls.config_jsonschema["properties"].items():
            if schema.get("secret"):
                for value in (config.get(name), os.environ.get(f"{cls._env_var_prefix}{name.upper()}")):
                    if value:
                        yield str(value)
