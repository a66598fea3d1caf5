from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among the workspace's packages
import pytest
from meltano.core.setting_definition import SettingDefinition, json_dumps
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.e2e.conftest import PROJECT

#: A text for each kind of setting, as it comes from an environment variable.
TEXTS = {
    "string": "text",
    "integer": "7",
    "boolean": "true",
    "date_iso8601": "2025-01-01",
    "object": '{"s3": "https://s3.example.com"}',
    "array": '[{"type": "cur2", "url": "s3://bucket/exports/name"}]',
}


@cache
def project() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(PROJECT / "meltano.yml")
    return content


def plugin(kind: str, name: str) -> dict[str, Any]:
    (found,) = [entry for entry in project()["plugins"][kind] if entry["name"] == name]
    return dict(found)


def tap() -> dict[str, Any]:
    return plugin("extractors", "tap-offgridflow-aws")


@cache
def settings_of_the_tap() -> dict[str, dict[str, Any]]:
    schema = json.loads(json.dumps(TapOffgridflowAws.config_jsonschema))
    TapOffgridflowAws.append_builtin_config(schema)
    properties: dict[str, dict[str, Any]] = schema["properties"]
    return properties


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


def declared() -> dict[str, dict[str, Any]]:
    return {setting["name"]: setting for setting in tap()["settings"]}


def test_the_project_has_the_settings_of_the_tap_and_no_others() -> None:
    assert list(declared()) == list(settings_of_the_tap())


@pytest.mark.parametrize("name", settings_of_the_tap())
def test_a_setting_has_the_kind_and_the_secrecy_that_the_tap_gives_it(name: str) -> None:
    schema, setting = settings_of_the_tap()[name], declared()[name]
    assert setting["kind"] == kind_of(name, schema)
    assert setting.get("sensitive", False) == schema.get("secret", False)
    assert [option["value"] for option in setting.get("options", [])] == schema.get("enum", [])
    assert setting["description"].strip()


@pytest.mark.parametrize("name", settings_of_the_tap())
def test_a_setting_given_as_an_environment_variable_reaches_the_tap_as_what_it_asks_for(name: str) -> None:
    schema, definition = settings_of_the_tap()[name], SettingDefinition.parse(declared()[name])
    text = TEXTS[declared()[name]["kind"]] if "enum" not in schema else schema["enum"][0]
    if "minimum" in schema:
        text = str(schema["minimum"])
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


def test_the_capabilities_are_those_that_the_tap_claims() -> None:
    assert set(tap()["capabilities"]) == {
        str(capability.value) for capability in TapOffgridflowAws.capabilities
    }


def test_the_tap_is_installed_from_folders_of_the_project_with_its_pins() -> None:
    words = tap()["pip_url"].split()
    assert words[-2:] == ["-c", "requirements.lock"]
    for folder in words[1:-2:2]:
        assert folder.startswith("./")
        assert (PROJECT / folder / "pyproject.toml").is_file()


def test_nothing_in_it_is_of_one_machine() -> None:
    text = (PROJECT / "meltano.yml").read_text("utf-8")
    assert str(PROJECT) not in text
    assert str(Path.home()) not in text


def test_every_select_rule_selects_something() -> None:
    columns = [
        f"{stream['stream']}.{column}"
        for stream in TapOffgridflowAws(config={}).catalog_dict["streams"]
        for column in stream["schema"]["properties"]
    ]
    for rule in tap()["select"]:
        assert any(fnmatchcase(column, rule) for column in columns), rule
