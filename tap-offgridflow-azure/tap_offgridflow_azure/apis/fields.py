"""Objects of JSON answers, field by field: what is not of its kind is an error, what is left over is kept."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Azure's own word for what belongs to no service or place. In a key it stands for an empty text, too, which
#: many loaders make null, and then refuse.
UNASSIGNED = "Unassigned"

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Fields:
    """One object of an answer. A field can be asked for once.

    Args:
        value: What should be an object.
        asked: What was asked, for messages.

    Raises:
        ContractBroken: It is none; every method raises the same for a field that is not of its kind.
    """

    def __init__(self, value: object, asked: str) -> None:
        self._asked = asked
        if not isinstance(value, dict):
            raise self.broken(f"{_kind(value)} in place of an object")
        self._rest: dict[str, Any] = dict(value)

    def text(self, name: str) -> str | None:
        """A text; None if there is none. Numbers count as the text they are written with."""
        value = self._rest.pop(name, None)
        if value is None or isinstance(value, str):
            return value
        if _is_number(value):
            return str(value)
        raise self.broken(f"{_kind(value)} in place of text in {name}")

    def key(self, name: str) -> str:
        """A text that must be there and must not be empty."""
        value = self.text(name)
        if not value:
            raise self.broken(f"an object without {name}")
        return value

    def number(self, name: str) -> float | None:
        """A number; None if there is none."""
        value = self._rest.pop(name, None)
        if value is None:
            return None
        if not _is_number(value) or not math.isfinite(value):
            raise self.broken(f"{_kind(value)} in place of a number in {name}")
        return float(value)

    def rows(self, name: str) -> list[Any]:
        """A list that must be there: an absent one is not an empty one."""
        value = self._rest.pop(name, None)
        if not isinstance(value, list):
            raise self.broken(f"{_kind(value)} in place of a list in {name}")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects; empty if there is none. One object stands for a list of one."""
        value = self._rest.get(name)
        if value is None or isinstance(value, dict):
            entries = [self._rest.pop(name)] if value else []
        else:
            entries = self.rows(name)
        return [Fields(entry, self._asked) for entry in entries]

    def object(self, name: str) -> Fields:
        """An object; one without fields if there is none."""
        value = self._rest.pop(name, None)
        return Fields({} if value is None else value, self._asked)

    def extra(self) -> dict[str, str] | None:
        """The fields that nobody has asked for, by their names in snake case, as text; None if all were."""
        return _as_texts({_snake_case(name): value for name, value in self._rest.items()})

    def texts(self, name: str) -> dict[str, str] | None:
        """The fields of an object as text, by their own names; None if there are none."""
        value = self._rest.pop(name, None)
        if not isinstance(value, dict | None):
            raise self.broken(f"{_kind(value)} in place of an object in {name}")
        return _as_texts(value or {})

    def broken(self, got: str) -> ContractBroken:
        """The error of an answer that cannot be trusted."""
        return ContractBroken(
            asked=self._asked,
            got=got,
            do="look for a newer version of the tap; nothing of this answer counts as read",
        )


def _as_texts(values: Mapping[str, Any]) -> dict[str, str] | None:
    """Values as text: text as it is, all else as JSON. Null is left out; None if nothing is there."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in values.items()
        if value is not None
    }
    return texts or None


def _snake_case(name: str) -> str:
    return _WORD.sub("_", name).lower()


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
