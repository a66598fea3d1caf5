"""Tokens: asked for before each request, kept while the token service fails, renewed once when refused."""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import threading
from typing import TYPE_CHECKING, Protocol

from requests.auth import AuthBase

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.redaction import register_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from offgridflow_common.clock import Clock

logger = logging.getLogger(__name__)

#: How long before it expires a token is asked for anew.
_EARLY_SECONDS = 300

#: A token that is good for less than this may expire on its way.
_LEAST_SECONDS = 60

#: How often a new token is asked for while the last one is still good.
_PAUSE_SECONDS = 30

_CLAIMS = re.compile(r'\berror="?insufficient_claims"?.*?\bclaims="([^"]+)"', re.IGNORECASE | re.DOTALL)
_CLAIMS_FIRST = re.compile(r'\bclaims="([^"]+)".*?\berror="?insufficient_claims"?', re.IGNORECASE | re.DOTALL)
_URL_SAFE = str.maketrans("+/", "-_")


class Token(Protocol):
    """An access token; its times are in seconds since 1970."""

    @property
    def token(self) -> str:
        """The token itself."""
        ...

    @property
    def expires_on(self) -> int:
        """When it expires."""
        ...

    @property
    def refresh_on(self) -> int | None:
        """When the token service wants to be asked for the next one, if it says so."""
        ...


class Credential(Protocol):
    """What fetches tokens."""

    def fetch(self, scope: str, claims: str | None) -> Token:
        """A token that is good now; a new one, if there are claims that it must have.

        Raises:
            OffGridFlowError: There is none.
        """
        ...


class TokenSource:
    """Tokens for one scope; safe to use from several threads.

    The credential is asked for a new token five minutes before the last one expires, or when the token
    service wants it. Where that fails although the last one is still good, the last one is used.

    Args:
        make: Makes a credential. A new one has an empty memory, which is the only way to force a new token.
        scope: What the tokens are for.
        clock: Tells the time.
    """

    def __init__(self, make: Callable[[], Credential], scope: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._make = make
        self._scope = scope
        self._clock = clock
        self._guard = threading.Lock()
        self._credential: Credential | None = None
        self._last: Token | None = None
        self._next_ask = -math.inf

    def token(self) -> Token:
        """A token that is good now.

        Raises:
            OffGridFlowError: There is none, and the last one is too old.
        """
        with self._guard:
            last, now = self._last, self._clock.now().timestamp()
            good = last is not None and last.expires_on - now > _LEAST_SECONDS
            if last and good and now < self._next_ask:
                return last
            try:
                return self._fetch(None)
            except Exception as error:
                if last and good:
                    logger.warning("No new token; the last one is used while it is good: %s", error)
                    self._next_ask = now + _PAUSE_SECONDS
                    return last
                # It would repeat the error from its memory for a minute.
                self._credential = None
                raise

    def renew(self, claims: str | None) -> None:
        """Fetch a new token, because the last one was refused.

        Args:
            claims: What the new one must have, as plain JSON.

        Raises:
            OffGridFlowError: There is none.
        """
        with self._guard:
            self._last = None
            if not claims:
                self._credential = None
            try:
                self._fetch(claims)
            except Exception:
                self._credential = None
                raise

    def _fetch(self, claims: str | None) -> Token:
        if self._credential is None:
            self._credential = self._make()
        found = self._credential.fetch(self._scope, claims)
        if self._last is None or self._last.token != found.token:
            register_secrets([found.token])
        self._last = found
        wanted = min(found.expires_on - _EARLY_SECONDS, found.refresh_on or math.inf)
        self._next_ask = max(wanted, self._clock.now().timestamp() + _PAUSE_SECONDS)
        return found


class TokenAuth(AuthBase):
    """Puts a token on each request."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._source.token().token}"
        return request

    def renew(self, headers: Mapping[str, str]) -> bool:
        """Fetch a new token after an answer of 401.

        Args:
            headers: Of the answer; they may name claims that the new token must have.

        Returns:
            That there is a new token, with which the request is worth another try.
        """
        self._source.renew(claims_of(headers.get("WWW-Authenticate", "")))
        return True


def claims_of(challenge: str) -> str | None:
    """The claims that a challenge asks for, as plain JSON; None if it asks for none.

    In the header they are base64url, with or without padding.
    """
    match = _CLAIMS.search(challenge) or _CLAIMS_FIRST.search(challenge)
    if not match:
        return None
    text = match[1].rstrip("=").translate(_URL_SAFE)
    try:
        claims = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        return claims if isinstance(json.loads(claims), dict) else None
    except ValueError:
        return None
