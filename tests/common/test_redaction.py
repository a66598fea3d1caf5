"""What must never leave the process as text, and what must still be readable."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offgridflow_common import redaction
from offgridflow_common.redaction import (
    REDACTED,
    RedactingFormatter,
    install_log_redaction,
    redact,
    register_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = 'pä/ss "w+rd'
KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_registry", redaction._Registry())


class TestRegisteredSecrets:
    @pytest.mark.parametrize(
        "form",
        [
            SECRET,
            quote(SECRET),
            quote(SECRET, safe=""),
            quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%C3%A4", "%c3%a4"),
            quote_plus(SECRET),
            json.dumps(SECRET)[1:-1],
            json.dumps(SECRET, ensure_ascii=False)[1:-1],
            base64.b64encode(SECRET.encode()).decode().rstrip("="),
            base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        ],
    )
    def test_are_hidden_in_every_form_they_travel_in(self, form: str) -> None:
        before = f"<{form}>"
        assert redact(before) == before
        register_secrets([SECRET])
        hidden = redact(before)
        assert hidden.startswith(f"<{REDACTED}")
        # Of base64, the last character may stay: it depends on what follows, too.
        assert len(hidden) <= len(f"<{REDACTED}>") + 1

    @given(before=st.binary(max_size=5), after=st.binary(max_size=5), url_safe=st.booleans())
    def test_are_hidden_wherever_they_stand_in_base64(
        self, before: bytes, after: bytes, *, url_safe: bool
    ) -> None:
        register_secrets([SECRET])
        encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
        encoded = encode(before + SECRET.encode() + after).decode()
        assert len(redact(encoded)) <= len(encode(before + after)) + len(REDACTED) + 4

    @given(
        secret=st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4),
        around=st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"])),
    )
    def test_of_any_characters_are_hidden_in_any_text(self, secret: str, around: str) -> None:
        register_secrets([secret])
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert form not in redact(around + form + around)

    def test_that_begin_alike_are_hidden_whole(self) -> None:
        register_secrets(["hunter", "hunter2-longer"])
        assert redact("a hunter2-longer b hunter c") == f"a {REDACTED} b {REDACTED} c"

    def test_of_several_lines_are_hidden_line_by_line(self) -> None:
        register_secrets([PEM])
        assert "kqhkiG9w0BAQEF" not in redact("line 3 is kqhkiG9w0BAQEF")

    def test_with_stray_white_space_are_hidden_without_it(self) -> None:
        register_secrets(["hunter2\n"])
        assert redact("it is hunter2.") == f"it is {REDACTED}."

    def test_shorter_than_four_characters_are_left_alone(self) -> None:
        register_secrets(["", "a", "abc", "   ab  "])
        assert redact("abc a ab") == "abc a ab"

    def test_that_are_not_unicode_do_not_stop_the_run(self) -> None:
        register_secrets(["p\udcffss"])
        assert redact("p\udcffss") == REDACTED

    def test_that_look_like_a_pattern_are_taken_literally(self) -> None:
        register_secrets([r".*\d+["])
        assert redact(r"a .*\d+[ b") == f"a {REDACTED} b"

    def test_may_be_many_and_change_again_and_again(self) -> None:
        start = time.perf_counter()
        tokens = [f"{number:04}" * 300 for number in range(300)]
        for token in tokens:
            register_secrets([token])
            assert redact(token) == REDACTED
        # To look at all of them anew with each would take minutes.
        assert time.perf_counter() - start < 10
        assert {redact(token) for token in tokens} == {REDACTED}

    def test_of_many_threads_are_all_hidden_and_stay_so(self) -> None:
        secrets = [[f"value-{thread}-{number:02}" for number in range(20)] for thread in range(8)]
        leaks: list[str] = []
        start = threading.Barrier(len(secrets))

        def register(own: list[str]) -> None:
            start.wait()
            for count, secret in enumerate(own, start=1):
                register_secrets([secret])
                leaks.extend(known for known in own[:count] if known in redact(f"<{known}>"))

        threads = [threading.Thread(target=register, args=(own,)) for own in secrets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        leaks.extend(secret for own in secrets for secret in own if secret in redact(secret))
        assert leaks == []


class TestShapesOfSecrets:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("https://h/c?sv=1&sig=ab%2Fc%3D&se=2", "https://h/c?sv=1&sig=***&se=2"),
            ("?X-Amz-Credential=AK/1/s3&X-Amz-Date=2", "?X-Amz-Credential=***&X-Amz-Date=2"),
            ("?X-Amz-Signature=0&X-Amz-Security-Token=a", "?X-Amz-Signature=***&X-Amz-Security-Token=***"),
            ("https://user:p@ss:w@host:8080/path", "https://user:***@host:8080/path"),
            ("postgresql://u:p@host", "postgresql://u:***@host"),
            (f"key {KEY_ID} is disabled", "key *** is disabled"),
            (f"key {KEY_ID.replace('AKIA', 'ASIA')}.", "key ***."),
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("Proxy-Authorization: Basic dXNlcg==\nHost: h", "Proxy-Authorization: ***\nHost: h"),
            ("authorization=AWS4-HMAC-SHA256 Credential=a/b, Signature=c", "authorization=***"),
            ("{'Authorization': 'Bearer a', 'Host': 'h'}", "{'Authorization': '***', 'Host': 'h'}"),
            ("{b'Authorization': b'Basic a'}", "{b'Authorization': b'***'}"),
            ("('Authorization', 'Basic a')", "('Authorization', '***')"),
            (r"b'GET /\r\nAuthorization: Basic a\r\nHost: h'", r"b'GET /\r\nAuthorization: ***\r\nHost: h'"),
            ("Set-Cookie: session=a; Path=/", "Set-Cookie: ***"),
            ("sent Bearer abcdefgh12 to", "sent Bearer *** to"),
            ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0 back", "got *** back"),
            ('{"client_secret": "a\\"b, c", "id": 1}', '{"client_secret": "***", "id": 1}'),
            ("{'clientSecret': 'a b', 'id': 1}", "{'clientSecret': '***', 'id': 1}"),
            (r'"{\"password\": \"a b\", \"id\": 1}"', r'"{\"password\": \"***\", \"id\": 1}"'),
            ('{"refresh_token": "cut off in the mid', '{"refresh_token": "***'),
            ("client_secret=a&grant_type=b", "client_secret=***&grant_type=b"),
            ("AccountName=n;AccountKey=a/b==;Suffix=s", "AccountName=n;AccountKey=***;Suffix=s"),
            ("AWS_SECRET_ACCESS_KEY = abc", "AWS_SECRET_ACCESS_KEY = ***"),
            ("aws_session_token: abc", "aws_session_token: ***"),
            ("X-Api-Key: abc", "X-Api-Key: ***"),
            ("password: abc", "password: ***"),
            (PEM, "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----"),
            (PEM[:40], "-----BEGIN PRIVATE KEY-----***"),
        ],
    )  # fmt: skip
    def test_are_hidden_and_what_surrounds_them_is_not(self, text: str, expected: str) -> None:
        assert redact(text) == expected
        assert redact(expected) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Check the token: it has expired. The secret: none.",
            "repeated token",
            "12 tokens, 3.5 tokens/s, design=3, config=a",
            "https://host:8080/path/p@x?page=2#a:b@c",
            "abfss://container@account.dfs.core.windows.net/folder",
            "arn:aws:iam::123456789012:role/reader",
            "password=None, client_secret: null",
            "needs sustainability:GetEstimatedCarbonEmissions; see AccessDenied",
            "Authorization failed for the client",
            "the bearer of bad news",
            "AKIA is how key ids begin",
        ],
    )
    def test_that_are_none_are_left_readable(self, text: str) -> None:
        assert redact(text) == text

    @pytest.mark.parametrize(
        "part",
        ["a", "a.", "token", "token ", "://", "://a", "\\", "bearer ", "eyJ", PEM[:25], 'token:"', "sig="],
    )
    def test_are_looked_for_in_time_that_grows_with_the_text_only(self, part: str) -> None:
        text = part * (60_000 // len(part))
        start = time.perf_counter()
        redact(text)
        # Quadratic time would take minutes.
        assert time.perf_counter() - start < 5


class TestLogs:
    @pytest.fixture(autouse=True)
    def _restore_formatters(self) -> Iterator[None]:
        loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
        handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
        handlers.append(logging.lastResort)
        before = [(handler, handler.formatter) for handler in handlers]
        yield
        for handler, formatter in before:
            handler.setFormatter(formatter)

    @pytest.fixture
    def log(self) -> Iterator[tuple[logging.Logger, io.StringIO]]:
        logger, out = logging.getLogger("tests.redaction"), io.StringIO()
        handler = logging.StreamHandler(out)
        logger.addHandler(handler)
        logger.propagate = False
        yield logger, out
        logger.removeHandler(handler)
        logger.propagate = True

    def test_hide_secrets_in_messages_arguments_tracebacks_and_stacks(
        self, log: tuple[logging.Logger, io.StringIO]
    ) -> None:
        logger, out = log
        register_secrets(["hunter2"])
        install_log_redaction()
        try:
            int("hunter2")
        except ValueError:
            logger.exception("hunter2 in %s", {"password": "hunter2"}, stack_info=True)
        assert "hunter2" not in out.getvalue()
        assert "ValueError: invalid literal for int() with base 10: '***'" in out.getvalue()
        assert "*** in {'password': '***'}" in out.getvalue()

    def test_keep_the_layout_of_the_formatter_within(self, log: tuple[logging.Logger, io.StringIO]) -> None:
        logger, out = log
        logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
        install_log_redaction()
        logger.error("token=abc")
        assert out.getvalue() == "ERROR|token=***\n"

    @pytest.mark.parametrize("args", [("hunter2",), ({"a": "hunter2"},)])
    def test_hide_the_arguments_of_a_message_that_does_not_fit_them(
        self,
        log: tuple[logging.Logger, io.StringIO],
        capsys: pytest.CaptureFixture[str],
        args: tuple[object, ...],
    ) -> None:
        logger, out = log
        register_secrets(["hunter2"])
        install_log_redaction()
        logger.error("number %(b)d", *args)
        assert "hunter2" not in out.getvalue() + capsys.readouterr().err
        assert "number %(b)d" in out.getvalue()

    def test_hide_secrets_also_where_a_traceback_is_asked_for_alone(self) -> None:
        error = ValueError("token=abc")
        shown = RedactingFormatter().formatException((ValueError, error, None))
        assert shown == "ValueError: token=***"

    def test_are_wrapped_once_however_often_it_is_asked(
        self, log: tuple[logging.Logger, io.StringIO]
    ) -> None:
        logger, _ = log
        root, sink = logging.getLogger(), logging.NullHandler()
        root.addHandler(sink)
        try:
            install_log_redaction()
            wrapped = [handler.formatter for handler in (logger.handlers[0], sink, logging.lastResort)]
            install_log_redaction()
            again = [handler.formatter for handler in (logger.handlers[0], sink, logging.lastResort)]
        finally:
            root.removeHandler(sink)
        assert all(isinstance(formatter, RedactingFormatter) for formatter in wrapped)
        assert all(first is second for first, second in zip(wrapped, again, strict=True))
