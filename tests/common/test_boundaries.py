"""The rules of the house, read from the source: imports point down, and common knows no provider."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMON = "offgridflow_common"

#: The packages of the workspace: common, one for each cloud, and the target.
PACKAGES = {
    path.name: path
    for path in [
        ROOT / "offgridflow-common" / COMMON,
        *ROOT.glob("tap-*/tap_*"),
        *ROOT.glob("target-*/target_*"),
    ]
}

MODULES = {
    ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in PACKAGES.values()
    for path in sorted(folder.rglob("*.py"))
}
IN_COMMON = [name for name in MODULES if name.partition(".")[0] == COMMON]
IN_TAPS = [name for name in MODULES if name not in IN_COMMON]

#: What only a tap's client may import.
CLOUD_SDKS = {"boto3", "botocore", "s3transfer", "aiobotocore", "s3fs", "azure", "msal", "google"}
PROVIDERS = re.compile(r"aws|azure|amazon|microsoft", re.IGNORECASE)

MAX_LINES = 400


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports_of(module: str) -> Iterator[str]:
    """Everything a module imports, in full; also what is imported for types only, or within a function."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def ours(module: str) -> set[str]:
    """The modules of the workspace that a module imports."""
    return {name for name in imports_of(module) if name in MODULES}


def foreign(module: str) -> set[str]:
    """The packages from elsewhere that a module imports."""
    return {name.partition(".")[0] for name in imports_of(module) if name.partition(".")[0] not in PACKAGES}


def layer(module: str) -> str:
    """The module's folder within its package, or its own name if it is in none."""
    return module.split(".")[1] if "." in module else ""


def test_the_packages_are_found() -> None:
    assert COMMON in PACKAGES
    assert "tap_offgridflow_aws" in PACKAGES
    assert len(IN_COMMON) > 20
    assert f"{COMMON}.singer.streams" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for_and_stays_small(module: str) -> None:
    tree = tree_of(module)
    assert ast.get_docstring(tree), "no docstring"
    text = MODULES[module].read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    if len(tree.body) > 1:
        assert "from __future__ import annotations" in text


@pytest.mark.parametrize("module", IN_COMMON)
def test_common_imports_no_tap_and_no_sdk_of_a_cloud(module: str) -> None:
    assert not foreign(module) & CLOUD_SDKS
    assert ours(module) <= set(IN_COMMON)


@pytest.mark.parametrize("module", IN_COMMON)
def test_common_names_no_provider(module: str) -> None:
    """Neither in names nor in text; docstrings and the descriptions of columns may give examples."""
    tree = tree_of(module)
    explained = {id(text) for text in _docstrings(tree)} | {id(text) for text in _descriptions(tree)}
    named = [
        f"line {getattr(node, 'lineno', '?')}: {text}"
        for node in ast.walk(tree)
        if id(node) not in explained
        for text in _texts(node)
        if PROVIDERS.search(text)
    ]
    assert named == []


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    """Strings that are statements: docstrings, of attributes too."""
    return (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _descriptions(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column":
            yield from node.args[2:3]


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for attribute in ("id", "attr", "name", "arg", "module", "asname"):
        value = getattr(node, attribute, None)
        if isinstance(value, str):
            yield value


@pytest.mark.parametrize("module", IN_TAPS)
def test_only_the_client_of_a_tap_imports_the_sdk_of_its_cloud(module: str) -> None:
    package, _, name = module.partition(".")
    if name != "client":
        assert not foreign(module) & CLOUD_SDKS
    assert {name.partition(".")[0] for name in ours(module)} <= {package, COMMON}


def test_nothing_imports_in_a_circle() -> None:
    TopologicalSorter({module: ours(module) for module in MODULES}).prepare()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_folders_import_each_other(package: str) -> None:
    """A folder counts as one here, and so does a module that is in none."""
    graph: dict[str, set[str]] = {}
    for module in (name for name in MODULES if name.startswith(f"{package}.")):
        used = {layer(name) for name in ours(module) if name.startswith(f"{package}.")}
        graph.setdefault(layer(module), set()).update(used - {layer(module)})
    TopologicalSorter(graph).prepare()


#: What the modules at the bottom may import of ours; whatever is not named here is above them.
ALLOWED = {
    "clock": set(),
    "months": set(),
    "columns": set(),
    "distinct": set(),
    "memory": set(),
    "startup": set(),
    "ending": set(),
    "redaction": set(),
    "reference_data": set(),
    "settings": {"months", "redaction"},
    "errors": {"redaction"},
    "classification": {"errors"},
    "pagination": {"errors"},
    "rate_limit": {"clock", "errors"},
    "retry": {"clock", "errors"},
    "progress": {"clock"},
    "observability": {"classification", "errors", "otlp", "progress", "redaction"},
    "pipeline": {"clock", "errors", "observability", "rate_limit", "retry"},
    "origins": {"errors", "redaction"},
    "responses": {"errors", "redaction"},
    "http": {"classification", "errors", "observability", "origins", "pipeline", "responses", "retry"},
    "activity": {"columns", "errors"},
    "exports": {"clock", "columns", "distinct", "errors", "exports", "months"},
}


@pytest.mark.parametrize("module", [module for module in IN_COMMON if layer(module) in ALLOWED])
def test_what_lies_below_does_not_know_what_lies_above(module: str) -> None:
    assert {layer(name) for name in ours(module)} <= ALLOWED[layer(module)]


@pytest.mark.parametrize("module", IN_COMMON)
def test_only_what_sits_on_the_meltano_sdk_imports_it(module: str) -> None:
    if layer(module) not in {"singer", "testing", "settings"}:
        assert "singer_sdk" not in foreign(module)
        assert not any(layer(name) == "singer" for name in ours(module))


@pytest.mark.parametrize("module", IN_COMMON)
def test_what_is_for_tests_is_not_used_by_the_product(module: str) -> None:
    if layer(module) != "testing":
        assert "pytest" not in foreign(module)
        assert not any(layer(name) == "testing" for name in ours(module))


@pytest.mark.parametrize("module", IN_TAPS)
def test_in_a_tap_streams_stand_on_everything_and_nothing_but_the_tap_on_them(module: str) -> None:
    used = {layer(name) for name in ours(module) if name.partition(".")[0] == module.partition(".")[0]}
    if layer(module) not in {"tap", "streams"}:
        assert "streams" not in used
    if layer(module) != "__main__":
        assert "tap" not in used
    if layer(module) == "client":
        assert used <= {"settings", "error_codes", "connection"}
