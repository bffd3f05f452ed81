"""One request over HTTP and what became of it, with nothing done behind the caller's back.

No redirect is followed: a 3xx is an answer to report, and a token goes nowhere but to the service. What changes
something is sent once, on a connection of its own. Only reads are tried again. Answers are bounded in size and time.

``RetrainError``
└── ``ServiceUnavailable``   the service did not answer a read in a way that can be used; the read changed nothing
"""

from __future__ import annotations

import hashlib
import random
import ssl
import uuid
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from retrain.checks import Evidence
from retrain.clock import Clock
from retrain.errors import RetrainError, UsageError
from retrain.redaction import Secrets, weakness
from retrain.service.answers import Answer
from retrain.service.reading import is_page, parse

__all__ = ["LARGEST_ANSWER", "ServiceUnavailable", "Wire"]

LARGEST_ANSWER = 20_000_000
"""Bytes of an answer that are read at most."""

_READS, _FIRST_PAUSE, _LONGEST_PAUSE = 3, 0.5, 10.0
_PASSING = {429, 500, 502, 503, 504}
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_JITTER = random.SystemRandom()


class ServiceUnavailable(RetrainError):  # noqa: N818 - named for what happened
    """The service did not answer a read in a way that can be used. The read changed nothing.

    ``retry_after_seconds`` is how long it asked to be left alone, None where it asked for nothing.
    """

    retry_after_seconds: float | None = None


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """An answer that is not read to its end, and why."""


class Wire:
    """Sends requests to one service and turns whatever happens into an ``Answer``; it raises for none of it."""

    def __init__(
        self,
        *,
        base_url: str,
        timeout_seconds: float,
        token: str | None,
        transport: httpx.BaseTransport | None,
        clock: Clock,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Take where the service is, the longest wait for an answer (wall seconds), and a bearer token or None.

        ``redact`` takes secrets out of what is kept of an answer, before anything is cut; None knows the token alone.
        """
        self.base_url = _checked(base_url, token)
        self._timeout = timeout_seconds
        self._token = token
        self._redact = redact or _knowing(token)
        self._transport = transport
        self.clock = clock
        self._shared = self._client(keep_alive=True)
        weakref.finalize(self, self._shared.close)  # a notebook that is simply closed leaves no socket behind

    def close(self) -> None:
        """Close the connections."""
        self._shared.close()

    def another(self, *, base_url: str | None = None) -> Wire:
        """Return a wire with connections of its own: to the same service, or to ``base_url``, without the token."""
        return Wire(
            base_url=base_url or self.base_url,
            timeout_seconds=self._timeout,
            token=None if base_url else self._token,
            transport=self._transport,
            clock=self.clock,
            redact=self._redact,
        )

    def get(self, path: str) -> Answer:
        """Read, and try again a few times where the failure may pass; ``Retry-After`` is honoured up to ten seconds."""
        for attempt in range(1, _READS):
            answer = self._ask(self._shared, "GET", path, None)
            if not _may_pass(answer):
                return answer
            self.clock.sleep(_pause(answer, attempt))
        return self._ask(self._shared, "GET", path, None)

    def ask(self, path: str, content: bytes) -> Answer:
        """Send a POST that changes nothing (a prediction), once."""
        return self._ask(self._shared, "POST", path, content)

    def send_once(self, path: str, content: bytes | None) -> Answer:
        """Send a POST that changes something, exactly once, on a new connection.

        A connection that was kept alive may be closed by the other side in the very moment of sending, which would
        leave open whether the request arrived.
        """
        with self._client(keep_alive=False) as client:
            return self._ask(client, "POST", path, content)

    def _client(self, *, keep_alive: bool) -> httpx.Client:
        kept = 64 if keep_alive else 0
        host = httpx.URL(self.base_url).host
        return httpx.Client(
            transport=self._transport,
            verify=_tls(self.base_url),
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=kept, keepalive_expiry=2.0),
            follow_redirects=False,
            trust_env=host not in _LOOPBACK,  # a proxy of the environment has no business between here and here
        )

    def _ask(self, client: httpx.Client, method: str, path: str, content: bytes | None) -> Answer:
        response: httpx.Response | None = None
        body, failure, request_id = b"", None, uuid.uuid4().hex
        headers = self._headers(request_id, content)
        began = self.clock.monotonic()
        try:
            with client.stream(method, self.base_url + path, content=content, headers=headers) as response:
                body = self._body(response, began)
        except (httpx.RequestError, _Unreadable) as error:
            failure = error
        seconds = self.clock.monotonic() - began
        return self._answer(response, body, failure, seconds, request_id)

    def _headers(self, request_id: str, content: bytes | None) -> dict[str, str]:
        headers = {"accept": "application/json", "accept-encoding": "identity", "x-request-id": request_id}
        if content is not None:
            headers["content-type"] = "application/json"
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        return headers

    def _body(self, response: httpx.Response, began: float) -> bytes:
        """Read the body up to the bounds in size and time; a server may drip bytes for ever."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _Unreadable("the answer is compressed, which was not asked for")
        chunks, size = [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise _Unreadable(f"the answer is larger than {LARGEST_ANSWER:,} bytes")
            if self.clock.monotonic() - began > self._timeout:
                raise httpx.ReadTimeout("the answer did not end in time")
            chunks.append(chunk)
        return b"".join(chunks)

    def _answer(
        self, response: httpx.Response | None, body: bytes, failure: Exception | None, seconds: float, request_id: str
    ) -> Answer:
        body = self._discreet(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        page = response is not None and is_page(body, response.headers.get("content-type", ""))
        value, unread = (None, None) if response is None or failure else parse(body)
        told = response.headers if response is not None else {}
        return Answer(
            status_code=None if response is None else response.status_code,
            json=value,
            text=body[:500].decode("utf-8", "replace"),
            never_left=response is None and isinstance(failure, _NEVER_LEFT),
            timed_out=isinstance(failure, httpx.TimeoutException),
            broke_off=response is not None and isinstance(failure, httpx.RequestError),
            error=self._said(failure) if failure else unread,
            evidence=self._evidence(told, body if response is not None else None, request_id),
            seconds=seconds,
            retry_after_seconds=_retry_after(told, self.clock.now()),
            is_page=page,
        )

    def _evidence(self, headers: Mapping[str, str], body: bytes | None, request_id: str) -> Evidence:
        told = self._discreet(headers.get("x-request-id", ""))[:200]
        digest = None if body is None else hashlib.sha256(body).hexdigest()
        return Evidence(source="service", at=self.clock.now(), request_id=told or request_id, result_sha256=digest)

    def _discreet(self, text: str) -> str:
        """A service may echo what it was sent; a secret is never kept, and is taken out before a text is cut."""
        told = self._redact(text)
        return told.replace(self._token, "[redacted]") if self._token else told  # one too short to be told from words

    def _said(self, failure: Exception) -> str:
        if isinstance(failure, httpx.TimeoutException):
            return f"no answer within {self._timeout:g} s ({type(failure).__name__})"
        said = self._discreet(str(failure).encode("utf-8", "replace").decode())[:300] or type(failure).__name__
        return f"no connection could be made: {said}" if isinstance(failure, _NEVER_LEFT) else said


def _knowing(token: str | None) -> Callable[[str], str]:
    secrets = Secrets()
    if token is not None and weakness(token) is None:
        secrets.register(token, "service token")
    return secrets.redact


def _checked(base_url: str, token: str | None) -> str:
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")  # what the look-up of the name would stumble over
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(f"service.base_url: {base_url!r} is no address ({error})") from error
    if url.userinfo:
        raise UsageError(
            "service.base_url holds a user name or a password; name a token's environment variable instead"
        )
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or (url.port or 1) > 65535:
        raise UsageError(f"service.base_url: {base_url!r} should read like https://host:port")
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
        raise UsageError("the service's token is empty or holds spaces or characters that no header can carry")
    return base_url.rstrip("/")


def _tls(base_url: str) -> ssl.SSLContext:
    """Return what checks certificates; loading the authorities takes 20 ms, which plain HTTP need not pay."""
    if base_url.lower().startswith("https"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, should it ever be asked


def _may_pass(answer: Answer) -> bool:
    return answer.status_code is None or answer.broke_off or answer.status_code in _PASSING


def _pause(answer: Answer, attempt: int) -> float:
    if answer.retry_after_seconds is not None:
        return min(answer.retry_after_seconds, _LONGEST_PAUSE)
    longest = min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE)
    return _JITTER.uniform(longest / 2, longest)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header; a date is held against the answer's own ``Date``."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        until = parsedate_to_datetime(told)
        since = parsedate_to_datetime(headers["date"]) if "date" in headers else now
        return max(0.0, (until - since).total_seconds())
    except (TypeError, ValueError, OverflowError):  # the last: an offset of years, which no instant has
        return None
