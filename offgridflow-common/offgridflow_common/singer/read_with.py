"""What a stream is read with, in its state: what was read with something else is not read again for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping
    from logging import Logger

_READ_WITH = "read_with"
_NOT_SELECTED = "columns_not_selected"


def note_what_it_is_read_with(
    stream_state: MutableMapping[str, Any],
    settings: Mapping[str, str | None],
    not_selected: Iterable[str],
    logger: Logger,
) -> None:
    """Remember what a stream is read with from now on, and warn of what was read with something else.

    Args:
        stream_state: The stream's entry in the tap's state; written to in place.
        settings: The settings that its rows depend on.
        not_selected: The columns that do not go out.
        logger: Warns of settings with another value and of columns that are selected only now, once.
    """
    left_out = sorted(not_selected)
    before = stream_state.get(_READ_WITH)
    now = {name: value for name, value in settings.items() if value is not None}
    stream_state[_READ_WITH] = {**now, _NOT_SELECTED: left_out} if left_out else now
    if before is None or not stream_state.get("partitions"):
        return
    changed = [name for name in settings if before.get(name) != now.get(name)]
    selected = [name for name in before.get(_NOT_SELECTED, ()) if name not in left_out]
    if different := [*changed, *selected]:
        logger.warning(
            "What was read before stays as it is, although these were others or not selected then: %s. "
            "`meltano run --full-refresh`, or one run without state, reads all of it again",
            ", ".join(different),
        )
