"""Commands, configurations and variables in the documents name what exists."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest
import yaml
from botocore import xform_name

from offgridflow_common.settings import known_settings
from tests.docs.documents import README, ROOT, TAPS, all_blocks, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from tests.docs.documents import Documented


def commands(block: str) -> Iterator[list[str]]:
    """The commands of a shell block, each as its words."""
    lexer = shlex.shlex(block.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if set(token) <= set(";|&"):
            if words:
                yield words
            words = []
        else:
            words.append(token)


def _check_make(arguments: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {argument for argument in arguments if "=" not in argument} <= targets


def _check_files(arguments: list[str]) -> None:
    for pattern in arguments:
        head, _, rest = pattern.partition("{")
        names, _, tail = rest.partition("}")
        assert all((ROOT / f"{head}{name}{tail}").is_file() for name in names.split(","))


def _check_tap(name: str, arguments: list[str]) -> None:
    known = {option for parameter in TAPS[name].tap.cli.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= known


def _check_aws(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    if service == "s3":
        assert operation in {"ls", "sync"}
        return
    model = botocore.session.get_session().get_service_model(service)
    (name,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
    members = {xform_name(member, "-") for member in model.operation_model(name).input_shape.members}
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert options <= members | {"region", "query", "output"}


def _check_nothing(arguments: list[str]) -> None:
    del arguments


#: Programs whose options are not known here.
_UNCHECKED = (
    *("az", "azcopy", "duckdb", "export", "meltano", "pip", "pytest", "python", "sed", "tail"),
    *("target-jsonl", "uv"),
)
_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _check_make,
    "cat": _check_files,
    **{name: partial(_check_tap, name) for name in TAPS},
    "aws": _check_aws,
    **dict.fromkeys(_UNCHECKED, _check_nothing),
}


@pytest.mark.parametrize("block", all_blocks("bash"))
def test_commands_name_what_exists(block: str) -> None:
    for name, *arguments in commands(block):
        program = Path(name).name
        assert program in _CHECKS, f"{program} is not known here"
        _CHECKS[program](arguments)


@pytest.mark.parametrize("block", all_blocks("yaml"))
def test_yaml_names_real_settings_and_streams(block: str) -> None:
    plugins = yaml.safe_load(block).get("plugins", {}).get("extractors", [])
    for plugin in plugins:
        of = TAPS[plugin["name"]]
        _check_settings(of, {item["name"] for item in plugin.get("settings", ())} | set(plugin["config"]))
        of.tap(config=plugin["config"])
        for pattern in plugin.get("select", ()):
            stream, _, column = pattern.removeprefix("!").partition(".")
            assert stream in of.streams
            assert column == "*" or column in {known.name for known in of.streams[stream].columns}


def test_the_readme_declares_all_secrets_as_such_and_every_kind() -> None:
    (block, *_) = blocks(README, "yaml")
    for plugin in yaml.safe_load(block)["plugins"]["extractors"]:
        properties = TAPS[plugin["name"]].tap.config_jsonschema["properties"]
        secrets = {name for name, schema in properties.items() if schema.get("secret")}
        assert {item["name"] for item in plugin["settings"] if item["sensitive"]} == secrets
        assert all(item["kind"] == "string" for item in plugin["settings"])


@pytest.mark.parametrize("block", all_blocks("json"))
def test_json_parses(block: str) -> None:
    content = json.loads(block)
    if "exports" in content:
        (of,) = (of for of in TAPS.values() if set(content) <= _settings(of))
        of.tap(config=content)


def _settings(of: Documented) -> AbstractSet[str]:
    return known_settings(of.tap)


def _check_settings(of: Documented, names: AbstractSet[str]) -> None:
    assert names <= _settings(of)


def test_the_example_environment_names_real_settings() -> None:
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    prefixes = {of.env_prefix for of in TAPS.values()}
    for of in TAPS.values():
        own = {name.removeprefix(of.env_prefix).lower() for name in names if name.startswith(of.env_prefix)}
        assert own
        _check_settings(of, own)
    assert all(name.startswith((*prefixes, "OTEL_")) for name in names)
