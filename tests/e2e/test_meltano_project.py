from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among the workspace's packages
import pytest
from meltano.core.setting_definition import SettingDefinition, json_dumps
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tap_offgridflow_azure.tap import TapOffgridflowAzure
from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb
from tests.e2e.conftest import PROJECT

if TYPE_CHECKING:
    from singer_sdk import Target

    from offgridflow_common.singer.tap import OffGridFlowTap

TAPS: dict[str, type[OffGridFlowTap]] = {tap.name: tap for tap in (TapOffgridflowAws, TapOffgridflowAzure)}
PLUGINS: dict[str, type[OffGridFlowTap | Target]] = {
    **TAPS,
    TargetOffgridflowDuckdb.name: TargetOffgridflowDuckdb,
}

#: Capabilities of targets that have no place in Meltano's schema.
UNKNOWN_TO_MELTANO = {"target-schema", "validate-records"}

OF_THE_SDK = {
    *(
        "batch_config",
        "faker_config",
        "process_activate_version_messages",
        "stream_map_config",
        "stream_maps",
    ),
    *(f"flattening_{name}" for name in ("enabled", "max_depth", "max_key_length", "separator")),
}

#: A text for each kind of setting, as it comes from an environment variable.
TEXTS = {
    "string": "text",
    "integer": "7",
    "boolean": "true",
    "date_iso8601": "2025-01-01",
    "object": '{"s3": "https://s3.example.com"}',
    "array": '["one", "two"]',
}


def text_for(schema: dict[str, Any], kind: str) -> str:
    """A text of a kind; of a list of objects, one with the values that the first of them allows."""
    members = schema.get("items", {}).get("properties")
    if not members:
        return TEXTS[kind]
    allowed = members["type"]["enum"]
    return json.dumps([{"type": allowed[0], "url": "file:///exports/name"}])


@cache
def project() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(PROJECT / "meltano.yml")
    return content


def plugin(name: str) -> dict[str, Any]:
    (found,) = [entry for kind in project()["plugins"].values() for entry in kind if entry["name"] == name]
    return dict(found)


@cache
def settings_of(name: str) -> dict[str, dict[str, Any]]:
    schema = json.loads(json.dumps(PLUGINS[name].config_jsonschema))
    PLUGINS[name].append_builtin_config(schema)
    properties: dict[str, dict[str, Any]] = schema["properties"]
    return properties


SETTINGS = [(name, setting) for name in PLUGINS for setting in settings_of(name)]


def kind_of(name: str, schema: dict[str, Any]) -> str:
    """The kind that a property has in `meltano.yml`."""
    if "enum" in schema:
        return "options"
    if name.endswith("_date"):
        return "date_iso8601"
    (kind,) = set(schema["type"]) - {"null"}
    # Meltano makes a Decimal of the kind "decimal" and then cannot write it as JSON. "integer" passes whole
    # numbers on from everywhere, and numbers with a fraction from meltano.yml.
    return "integer" if kind == "number" else str(kind)


def declared(name: str) -> dict[str, dict[str, Any]]:
    return {setting["name"]: setting for setting in plugin(name)["settings"]}


@pytest.mark.parametrize("of", PLUGINS)
def test_the_project_has_the_settings_of_the_plugin_and_no_others(of: str) -> None:
    assert list(declared(of)) == list(settings_of(of))


@pytest.mark.parametrize(("of", "name"), SETTINGS)
def test_a_setting_has_the_kind_and_the_secrecy_that_the_plugin_gives_it(of: str, name: str) -> None:
    schema, setting = settings_of(of)[name], declared(of)[name]
    assert setting["kind"] == kind_of(name, schema)
    assert setting.get("sensitive", False) == schema.get("secret", False)
    assert [option["value"] for option in setting.get("options", [])] == schema.get("enum", [])
    if name not in OF_THE_SDK:  # its own descriptions are longer, and have links
        assert " ".join(setting["description"].split()) == schema["description"]
    assert setting["description"].strip()


@pytest.mark.parametrize(("of", "name"), SETTINGS)
def test_a_setting_given_as_an_environment_variable_reaches_the_plugin_as_what_it_asks_for(
    of: str, name: str
) -> None:
    schema, definition = settings_of(of)[name], SettingDefinition.parse(declared(of)[name])
    text = text_for(schema, declared(of)[name]["kind"]) if "enum" not in schema else schema["enum"][0]
    if "minimum" in schema:
        text = str(schema["minimum"])
    text = schema.get("examples", [text])[0]
    value = json.loads(json_dumps(definition.cast_value(text)))
    if name not in {"batch_config", "stream_maps", "faker_config"}:
        jsonschema.validate(value, schema)
    assert type(value) is not str or schema["type"][0] == "string"


def test_the_project_is_valid_and_fits_the_meltano_that_the_workspace_pins() -> None:
    schema = json.loads(files("meltano.schemas").joinpath("meltano.schema.json").read_text("utf-8"))
    jsonschema.validate(project(), schema)
    assert version("meltano") in SpecifierSet(project()["requires_meltano"])
    assert "version" not in project()


def test_a_run_tells_nobody_that_it_happened() -> None:
    assert project()["send_anonymous_usage_stats"] is False
    assert project()["cli"] == {"disable_version_check": True}
    for kind in project()["plugins"].values():
        assert all(entry["namespace"] for entry in kind), "without a namespace Meltano asks its hub"


def test_groups_name_settings_that_exist() -> None:
    for kind in project()["plugins"].values():
        for entry in kind:
            names = {setting["name"] for setting in entry["settings"]}
            assert {name for group in entry["settings_group_validation"] for name in group} <= names


@pytest.mark.parametrize("of", PLUGINS)
def test_the_capabilities_are_those_that_the_plugin_claims(of: str) -> None:
    claimed = {str(capability.value) for capability in PLUGINS[of].capabilities}
    assert set(plugin(of)["capabilities"]) == claimed - UNKNOWN_TO_MELTANO


@pytest.mark.parametrize("of", PLUGINS)
def test_the_plugin_is_installed_from_folders_of_the_project_with_its_pins(of: str) -> None:
    words = plugin(of)["pip_url"].split()
    assert words[-2:] == ["-c", "requirements.lock"]
    for folder in words[1:-2:2]:
        assert folder.startswith("./")
        assert (PROJECT / folder / "pyproject.toml").is_file()


def test_nothing_in_it_is_of_one_machine() -> None:
    text = (PROJECT / "meltano.yml").read_text("utf-8")
    assert str(PROJECT) not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize("of", TAPS)
def test_every_select_rule_selects_something(of: str) -> None:
    columns = [
        f"{stream['stream']}.{column}"
        for stream in TAPS[of](config={}).catalog_dict["streams"]
        for column in stream["schema"]["properties"]
    ]
    for rule in plugin(of)["select"]:
        assert any(fnmatchcase(column, rule) for column in columns), rule
