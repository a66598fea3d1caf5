"""Messages that the guides quote are ones that the code makes."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from offgridflow_common.classification import ErrorTable, classify, error_type
from offgridflow_common.errors import ErrorClass
from tap_offgridflow_aws.client import translate
from tap_offgridflow_aws.error_codes import ACTIONS
from tap_offgridflow_azure.connection import error_codes as azure
from tests.docs.documents import README, TAPS

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _texts_of_the_code() -> tuple[str, ...]:
    """All texts in the code; what is filled in at run time parts them."""
    packages = ("offgridflow_common", *(of.package for of in TAPS.values()))
    return tuple(
        piece
        for package in packages
        for path in Path(str(resources.files(package))).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for piece in re.split(r"\{[^}]*\}|%[sd.\df]+", node.value)
    )


def _quoted_messages(guide: Path) -> Iterator[tuple[str, str]]:
    """The quoted messages of the troubleshooting, each with the error class it stands under."""
    troubleshooting = guide.read_text("utf-8").partition("\n## Troubleshooting")[2].partition("\n## ")[0]
    for section in troubleshooting.split("\n### ")[1:]:
        heading = section.partition("\n")[0].strip("`")
        for block in re.findall(r"^```text\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
            yield from ((heading, line) for line in block.splitlines())


def _pattern(message: str) -> re.Pattern[str]:
    parts = re.split(r"<[^>]+>", message)
    return re.compile(".+?".join(map(re.escape, parts)))


def _answers(code: str | None) -> Iterator[str]:
    """What a tap makes of an answer with this code, or of missing credentials, whatever was asked."""
    yield from _answers_of_aws(code)
    if code:
        yield from _answers_of_azure(code)


def _answers_of_azure(code: str) -> Iterator[str]:
    if code.startswith("AADSTS"):
        found, do = azure.AADSTS[int(code.removeprefix("AADSTS"))]
        yield str(error_type(found)(asked="signing in by client secret", got="This.", do=do, code=code))
        return
    for status in (401, 403, 404, 429, 503):
        found = classify(None, tables=(ErrorTable(by_code=azure.BY_CODE),), code=code, status=status)
        said = {"code": code, "request_id": "the-id"}
        for path in ("/subscriptions", "/providers/Microsoft.CostManagement/query"):
            asked = f"POST https://host{path}"
            do = azure.advice(found, code, status, asked)
            yield str(error_type(found)(asked=asked, got=f"HTTP {status} (This.)", do=do, **said))
        do = azure.storage_advice(found, code, status)
        yield str(error_type(found)(asked="listing https://host/key", got="This.", do=do, **said))


def _answers_of_aws(code: str | None) -> Iterator[str]:
    said = {"Error": {"Code": code, "Message": "This."}, "ResponseMetadata": {"RequestId": "the-id"}}
    for operation in ACTIONS:
        error = ClientError(said, operation) if code else NoCredentialsError()
        for asked in ("listing s3://bucket/key/", "reading s3://bucket/key", f"{operation} for 2026-09"):
            yield str(translate(error, asked, operation, datetime.now(UTC)))


def _stands_in_the_code(text: str) -> bool:
    """Whether a text is one of the code, or several that are joined as the parts of a message are."""
    text = text.strip(" .'")
    return any(text in known for known in _texts_of_the_code()) or any(
        _stands_in_the_code(text[: joint.start()]) and _stands_in_the_code(text[joint.end() :])
        for joint in re.finditer(r"[:.](?: |$)|^[:.] ", text)
        if joint.span() != (0, len(text))
    )


@pytest.mark.parametrize(
    ("heading", "message"), [pair for of in TAPS.values() for pair in _quoted_messages(of.guide)]
)
def test_a_quoted_message_is_one_that_the_code_makes(heading: str, message: str) -> None:
    text, _, details = message.partition(" [class=")
    if details:
        assert ErrorClass(heading) == re.split(r"[,\]]", details)[0]
    code = re.search(r"code=(\w+)", details)
    if any(_pattern(message).fullmatch(answer) for answer in _answers(code[1] if code else None)):
        return
    assert not code
    assert [part for part in re.split(r"<[^>]+>", text) if not _stands_in_the_code(part)] == []


@pytest.mark.parametrize("tap", TAPS)
def test_each_error_class_has_its_messages(tap: str) -> None:
    assert {heading for heading, _ in _quoted_messages(TAPS[tap].guide)} == {
        error_class.value for error_class in ErrorClass
    }


def test_the_readme_names_each_error_class() -> None:
    text = README.read_text("utf-8").partition("\n## What fails")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {kind.value for kind in ErrorClass}
