"""HTTP to a hive, over its Unix socket or TCP, with nothing but the standard library.

A request that may be repeated uses an idle connection where there is one, and is tried once more
on a new one when that breaks, so a server that restarted between two calls is not noticed. Any
other request has a connection of its own and is sent at most once. Whatever goes wrong on the way
is an `UnavailableError` that says what to do; an answer with an error status is the domain's
error for it. Threads may share a caller.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

from hyperhive.client.refusals import refusal_of_response
from hyperhive.domain.errors import ForbiddenError, HiveError, InvalidError, UnavailableError

ANSWER_SECONDS: Final = 30.0
"""How long a call waits for its answer, beyond any wait it asks for itself."""

_IDLE_MAX: Final = 4


class NobodyAnswersError(UnavailableError):
    """Nobody listens at the address, so no server runs there."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"No hive answers at {address}.", "Is `hyperhive up` running, and is this its address?"
        )


class Reply(NamedTuple):
    """A whole answer with a status below 400."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Parse the body; a body that is no JSON is an `UnavailableError`."""
        if not self.body:
            return {}
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnavailableError(
                "What answered does not speak JSON.", "Check that the address is a hive's."
            ) from None


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(self.timeout)
            link.connect(self._path)
        except BaseException:
            link.close()
            raise
        self.sock = link


class HttpCaller:
    """Sends requests to one address: a socket's path, or ``http[s]://host:port``."""

    def __init__(
        self, address: str, headers: Mapping[str, str], timeout_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self._headers = dict(headers)
        self._idle: list[http.client.HTTPConnection] = []
        self._is_tcp = address.startswith(("http://", "https://"))
        if self._is_tcp and not _names_a_host(address):
            raise InvalidError(
                f"{address!r} is no address of a hive.", "Write it like http://127.0.0.1:7700."
            )

    def close(self) -> None:
        """Close idle connections; a later call opens a new one."""
        with suppress(IndexError):  # another thread may take the last one
            while True:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        repeatable: bool = False,
    ) -> Reply:
        """Send a request, wait for the whole answer, raise what it refuses.

        ``repeatable`` says that sending it twice does what sending it once does.
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        given = headers or {}
        if repeatable:
            try:
                with self._trouble(seconds):
                    return self._exchange(self._take(seconds), method, target, body, given)
            except UnavailableError as error:
                if not isinstance(error.__cause__, (ConnectionError, http.client.HTTPException)):
                    raise
                self.close()
        with self._trouble(seconds):
            return self._exchange(self._connect(seconds), method, target, body, given)

    @contextmanager
    def stream(
        self, target: str, *, headers: Mapping[str, str], timeout_seconds: float
    ) -> Iterator[http.client.HTTPResponse]:
        """Open a GET whose answer has no end; leaving the block closes its connection.

        ``timeout_seconds`` bounds each silence, not the whole.
        """
        connection = self._connect(timeout_seconds)
        try:
            with self._trouble(timeout_seconds):
                connection.request("GET", target, headers={**self._headers, **headers})
                response = connection.getresponse()
                if response.status >= 400:
                    raise refusal_of_response(response.status, response.reason, response.read())
            yield response
        finally:
            connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str],
    ) -> Reply:
        sent = None if body is None else json.dumps(body).encode()
        kind = {} if sent is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, target, sent, {**self._headers, **kind, **headers})
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close or len(self._idle) >= _IDLE_MAX:
            connection.close()
        else:
            self._idle.append(connection)
        if reply.status >= 400:
            raise refusal_of_response(reply.status, response.reason, reply.body)
        return reply

    def _take(self, seconds: float) -> http.client.HTTPConnection:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._connect(seconds)
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        return connection

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        if not self._is_tcp:
            return UnixConnection(self.address, seconds)
        parts = urlsplit(self.address)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        return kind(parts.hostname or "", parts.port, timeout=seconds)

    @contextmanager
    def _trouble(self, seconds: float) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise trouble(self.address, error, seconds) from error


def trouble(address: str, error: Exception, seconds: float) -> HiveError:
    """Say what an error of the connection means for the caller."""
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return NobodyAnswersError(address)
        case PermissionError():
            return ForbiddenError(
                f"You may not open {address}.", "Run this as the user that the hive runs as."
            )
        case TimeoutError():
            return UnavailableError(
                f"The hive at {address} did not answer within {seconds:g} s.",
                "Look at the server's output, then try again.",
            )
        case _:
            reason = str(error) or type(error).__name__
            return UnavailableError(
                f"The connection to {address} broke: {reason}.",
                "Is `hyperhive up` still running? Try again.",
            )


def query(target: str, **parameters: object) -> str:
    """Add the parameters that are not ``None`` to a path."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{target}?{urlencode(given)}" if given else target


def _names_a_host(address: str) -> bool:
    parts = urlsplit(address)
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
