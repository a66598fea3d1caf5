"""The contract that every tap keeps, as tests to inherit: pytest collects them from a subclass.

```python
class TestMyTap(TapContract):
    tap_class = MyTap

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {...}  # with which each stream has records
```
"""
# ruff: noqa: S101 - these are tests, only not in the folder of the tests.

from __future__ import annotations

import copy
import io
import json
import re
import signal
import socket
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import pytest
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offgridflow_common.singer.tap import OffGridFlowTap

#: Names of settings whose values nobody may see. A path or an id of a key is not the key.
_SECRET_NAME: Final = re.compile(r"secret|token|password|(?:^|_)key(?:_id)?$|external_id")
_LOWER: Final = ("minimum", "exclusiveMinimum")
_NUMBERS: Final = frozenset({"integer", "number"})


class TapContract:
    """What holds for every tap. A subclass named ``Test...`` declares ``tap_class`` and gives ``config``.

    Attributes:
        tap_class: The tap.
    """

    tap_class: ClassVar[type[OffGridFlowTap]]

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        """A configuration with which each stream has records, at any time the same ones."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _signal_handlers(self) -> Iterator[None]:
        """A tap takes over the handlers of its process; here it gives them back."""
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
        for number, handler in kept.items():
            signal.signal(number, handler)

    # The catalog.

    def test_discovery_needs_neither_settings_nor_a_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the tap offers does not depend on anything."""

        def refuse(*_arguments: object) -> NoReturn:
            raise AssertionError("discovery used the network")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert self._catalog(), "a tap has streams"

    def test_each_schema_is_valid_and_gives_each_column_a_type(self) -> None:
        """Targets make their tables of the schemas, before they see a row."""
        for name, stream in self._catalog().items():
            DEFAULT_JSONSCHEMA_VALIDATOR.check_schema(stream["schema"])
            assert re.fullmatch("[a-z][a-z0-9_]*", name), f"{name} is not snake_case"
            for column, schema in stream["schema"]["properties"].items():
                assert schema.get("type"), f"{name}.{column} has no type"

    def test_keys_are_columns_that_are_never_null_and_always_selected(self) -> None:
        """A row without its key, or without what state goes by, could not be told from another."""
        for name, stream in self._catalog().items():
            assert stream["key_properties"], f"{name} has no key"
            replication_key = [stream["replication_key"]] if stream.get("replication_key") else []
            inclusion = {tuple(entry["breadcrumb"]): entry["metadata"] for entry in stream["metadata"]}
            for column in [*stream["key_properties"], *replication_key]:
                schema = stream["schema"]["properties"].get(column)
                assert schema, f"{name} has no column {column}"
                assert "null" not in schema["type"], f"{name}.{column} is nullable"
                assert inclusion["properties", column]["inclusion"] == "automatic", f"{name}.{column}"

    # The settings.

    def test_each_setting_is_described(self) -> None:
        """What `--about` shows is enough to set it."""
        for name, schema in self._settings().items():
            assert schema.get("description"), f"{name} has no description"

    def test_secrets_are_marked(self) -> None:
        """What looks like a secret is one, and what is one is text."""
        for name, schema in self._settings().items():
            secret = bool(schema.get("secret"))
            assert secret or not _SECRET_NAME.search(name), f"{name} is not marked as secret"
            assert not secret or "string" in schema["type"], f"{name} is secret, but not text"

    def test_numbers_have_a_range_that_is_kept(self) -> None:
        """A number just outside of its range is refused by the name of its setting."""
        for name, schema in self._settings().items():
            if not _NUMBERS & set(_types(schema)):
                continue
            assert any(bound in schema for bound in _LOWER), f"{name} has no lower bound"
            outside = [schema[bound] - 1 for bound in _LOWER if bound in schema]
            outside += [schema["maximum"] + 1] if "maximum" in schema else []
            for number in outside:
                assert any(f"'{name}'" in error for error in self._refusal({name: number})), (name, number)

    def test_an_unknown_setting_is_refused_by_the_nearest_name(self) -> None:
        """A setting that is spelled wrong would silently count for nothing."""
        for name in self._settings():
            errors = self._refusal({f"{name[:-1]}": "x"})
            assert any(f"'{name[:-1]}'" in error and f"'{name}'" in error for error in errors), errors

    # The records.

    def test_blocks_and_single_records_say_the_same(self, config: dict[str, Any]) -> None:
        """The fast path is a shortcut, nothing else: every message is equal but for the clock's."""
        blocks = self._messages(config, single=False)
        single = self._messages(config, single=True)
        streams = {message["stream"] for message in blocks if message["type"] == "RECORD"}
        assert streams == set(self._catalog()), "the configuration has to give each stream records"
        assert len(blocks) == len(single), f"{len(blocks)} messages by blocks, {len(single)} by records"
        for of_blocks, of_records in zip(blocks, single, strict=True):
            assert of_blocks == of_records, _difference(of_blocks, of_records)

    def test_each_record_keeps_to_its_schema(self, config: dict[str, Any]) -> None:
        """Targets make their tables of the schema."""
        validators = {}
        for message in self._messages(config, single=False):
            if message["type"] == "SCHEMA":
                validators[message["stream"]] = DEFAULT_JSONSCHEMA_VALIDATOR(message["schema"])
            if message["type"] == "RECORD":
                validators[message["stream"]].validate(message["record"])
                columns = validators[message["stream"]].schema["properties"].keys()
                assert message["record"].keys() == columns, message["record"].keys() ^ columns

    # Helpers.

    def _catalog(self) -> dict[str, dict[str, Any]]:
        tap = self.tap_class(config={}, validate_config=False, setup_mapper=False)
        streams: list[dict[str, Any]] = json.loads(tap.catalog_json_text)["streams"]
        catalog = {stream["tap_stream_id"]: stream for stream in streams}
        assert len(catalog) == len(streams), "two streams have one name"
        return catalog

    def _settings(self) -> Mapping[str, dict[str, Any]]:
        """The tap's own settings; those of the SDK are the SDK's affair."""
        of_the_sdk: dict[str, Any] = {"properties": {}}
        self.tap_class.append_builtin_config(of_the_sdk)
        properties = self.tap_class.config_jsonschema["properties"]
        return {name: schema for name, schema in properties.items() if name not in of_the_sdk["properties"]}

    def _refusal(self, config: dict[str, Any]) -> list[str]:
        with pytest.raises(ConfigValidationError) as caught:
            self.tap_class(config=config)
        return list(caught.value.errors)

    def _messages(self, config: dict[str, Any], *, single: bool) -> list[dict[str, Any]]:
        """All messages of a run of all streams, without the time at which records were made."""
        entries = list(self._catalog().values())
        for metadata in (metadata for entry in entries for metadata in entry["metadata"]):
            metadata["metadata"] |= {} if metadata["breadcrumb"] else {"selected": True}
        tap = self.tap_class(config=copy.deepcopy(config), catalog={"streams": entries})
        if single:
            for stream in tap.streams.values():
                stream.ABORT_AT_RECORD_COUNT = sys.maxsize
        raw = io.BytesIO()
        with io.TextIOWrapper(raw, encoding="utf-8") as stdout:
            with redirect_stdout(stdout):
                tap.run()
            stdout.flush()
            messages = [json.loads(line) for line in raw.getvalue().splitlines()]
        for message in messages:
            message.pop("time_extracted", None)
        return messages


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The members in which two messages differ; pytest shows no details for asserts outside of tests."""
    if one.get("type") == other.get("type") == "RECORD":
        one, other = one["record"], other["record"]
    return "; ".join(
        f"{name}: {one.get(name)!r} and {other.get(name)!r}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name) or (name in one) != (name in other)
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)
