"""One `redact()` for everything that leaves the process as text: logs, spans and exceptions.

Two nets, one after the other: the secrets of this run, registered once they are known, in every form in
which they travel; and the shapes that secrets have wherever they come from, such as signed URLs.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

REDACTED: Final = "***"
_MIN_LENGTH: Final = 4  # a shorter secret would blank out half of every text

# Names whose value is a secret. The first kind reads like plain English when it stands alone, as in
# "token: expired", so a colon counts only after a longer name such as "access_token".
_ENGLISH: Final = r"secret|token|signature|credential|assertion"
_KEYS: Final = r"(?:access|account|api|private|secret|shared|subscription)[_-]?key(?:[_-]?id)?"
_NAMES: Final = rf"pass(?:word|wd|phrase)|pwd|{_KEYS}"
_ANY_NAME: Final = rf"(?:{_ENGLISH}|{_NAMES}|\bsig)"
_UNQUOTED: Final = r"(?!(?:null|none|true|false)\b)[^\s&,;\"'<>(){}\[\]\\]+"
_HEADERS: Final = r"authorization|(?:set-)?cookie"

# Each pattern keeps its group "keep" and loses the rest.
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # A header and all of its value; in a listing of headers the value ends with its quote.
        rf"(?P<keep>(?:{_HEADERS})(?:\\*[\"'])?\s*[:=]\s*(?:b?\\*[\"'])?)[^\"'\r\n\\]+",
        rf"(?P<keep>(?:{_HEADERS})[\"'],\s*b?[\"'])[^\"'\r\n]+",
        r"(?P<keep>\bbearer\s+)[\w.~+/=-]{8,}",
        # "name": "value", in JSON, in Python, and escaped within another string.
        rf"(?P<keep>{_ANY_NAME}\\*[\"']?\s*[:=]\s*b?(?P<quote>\\*[\"']))(?:(?!(?P=quote))(?:\\.|.))+",
        # name=value, as in query strings and connection strings, and "name: value".
        rf"(?P<keep>{_ANY_NAME}\s?=\s?){_UNQUOTED}",
        rf"(?P<keep>(?:{_NAMES}|(?<=[\w-])(?:{_ENGLISH})):\s*){_UNQUOTED}",
        # <SecretAccessKey>value</SecretAccessKey>, as in the answers of XML services.
        rf"(?P<keep><[\w:.-]*{_ANY_NAME}[\w.-]*>)[^<\s]+",
        r"(?P<keep>://[^\s/?#:@\"'<>]*:)[^\s/?#\"'<>]*(?=@)",
        r"(?P<keep>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----).+?(?=-----END|\Z)",
        # Tokens and key ids that are known by their own look.
        r"(?P<keep>)\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?",
        r"(?P<keep>)\b(?-i:AKIA|ASIA)(?-i:[A-Z0-9]){12,}\b",
    )
)


class _Registry:
    """The secrets of this run, in all their spellings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Longest first, so that no part of a secret survives because another secret begins like it.
        # Replaced, never changed: readers take it without the lock.
        self._forms: tuple[str, ...] = ()

    def add(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= _MIN_LENGTH}
        with self._lock:
            self._forms = tuple(sorted(forms.union(self._forms), key=len, reverse=True))

    def redact(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return text


_registry = _Registry()


def register_secrets(values: Iterable[str]) -> None:
    """Make `redact()` hide these values from now on, also URL-quoted, JSON-escaped and in base64.

    Values of fewer than four characters are ignored. Of a value of several lines, such as a private key,
    each line is hidden too.
    """
    _registry.add(values)


def redact(text: str) -> str:
    """Return `text` with every registered secret, and all that looks like one, replaced by `REDACTED`."""
    text = _registry.redact(text)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    return text


def _forms(value: str) -> Iterator[str]:
    """Yield the spellings under which `value` may turn up in a text."""
    for part in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        if len(part) < _MIN_LENGTH:
            continue
        # An environment may hold what is not Unicode; that must not keep the tap from starting.
        encoded = part.encode(errors="replace")
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        for quoted in (quote(encoded), quote(encoded, safe=""), quote_plus(encoded)):
            yield quoted
            yield re.sub("%..", lambda escape: escape[0].lower(), quoted)
        yield from _base64_forms(encoded)


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Yield the characters that base64 makes of `secret` alone, wherever it stands in what was encoded.

    Base64 turns three bytes into four characters, so a text in the middle has three spellings. Characters at
    either end that also depend on the neighbours are left out.
    """
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).decode()
        first = (offset * 8 + 5) // 6
        last = (offset + len(secret)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].replace("+", "-").replace("/", "_")


class RedactingFormatter(logging.Formatter):
    """Formats with another formatter and redacts what comes out, tracebacks included.

    Args:
        inner: The formatter that knows the layout; the default layout of logging without one.
    """

    def __init__(self, inner: logging.Formatter | None = None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole log line, redacted."""
        try:
            line = self._inner.format(record)
        except (TypeError, ValueError, KeyError) as error:
            # logging would print the raw arguments of a message that does not fit them.
            line = f"{record.levelname} {record.name}: {record.msg} {record.args} (not formatted: {error})"
        return redact(line)

    def formatException(  # noqa: N802 - the name is given by logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """Return the traceback, redacted."""
        return redact(self._inner.formatException(ei))


def install_log_redaction() -> None:
    """Wrap the formatter of every handler that exists now: root's, those of named loggers, the last resort.

    Call it again after logging was configured anew; what is wrapped already stays as it is.
    """
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    handlers = [
        handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers
    ]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter))
