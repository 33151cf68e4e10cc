"""One request of an MCP client, carried to the agent's socket until it is answered.

A request keeps one ``Hyperhive-Request`` number over all its tries, by which the server tells a
repetition from a new request; so any try may be repeated after a broken connection, or an answer
that the server is just not available. Trying again ends 60 seconds after the first failure: a
restart of the server takes 5.
"""

import base64
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import h11

from hyperhive.harness.backoff import Backoff

RETRY_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 75.0
"""Longer than the longest wait of a tool, 50 s; a server silent for longer is not working."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
CONFIRM_SECONDS: Final = 15.0
SERVER_ERROR: Final = -32000
UNAVAILABLE: Final = 503

_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class CallFailedError(Exception):
    """The request has no answer, and this is the JSON-RPC error to give instead."""

    def __init__(self, message: str, code: int = SERVER_ERROR, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class _BrokenError(Exception):
    """The connection could not be made or did not last; the same request may be sent again."""


class Answer:
    """What the server said to a request."""

    __slots__ = ("delivery", "line", "message")

    def __init__(self, line: bytes, message: dict[str, Any], delivery: str | None) -> None:
        self.line = line
        """One line, without its end."""
        self.message = message
        self.delivery = delivery
        """What to confirm once the client has the line."""


class Call:
    """A request, or a notification when its ``id`` is ``None``.

    ``version`` is the protocol version that ``initialize`` agreed on; a request that names its
    own, as newer clients do in ``_meta``, is sent under that.
    """

    def __init__(
        self,
        socket_path: str,
        line: bytes,
        message: Mapping[str, Any],
        version: str | None,
        turn: str | None,
    ) -> None:
        method = message.get("method")
        self.method = method if isinstance(method, str) else ""
        self.id = message.get("id") if self.method else None
        self._line = line
        self._headers = _headers(self.method, message.get("params"), version, turn)
        self._connection = Connection(socket_path)

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._connection.is_closed

    def cancel(self) -> None:
        """Close the connection, whatever it is doing, and try no more."""
        self._connection.close()

    def carry(self) -> Answer | None:
        """Return the answer, ``None`` if the server rightly gave none.

        CallFailedError says why there is no answer, or that the call was cancelled.
        """
        status, reason, headers, body = self._persist()
        if status == 202 or (status == 204 and not body):
            if self.id is not None:
                raise CallFailedError(f"The server accepted {self.method} and answered nothing.")
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            message = json.loads(body) if kind.endswith("json") else None
        except (ValueError, RecursionError):
            message = None
        if not 200 <= status < 300:
            raise _refusal(status, reason, message, body)
        if self.id is None:
            return None
        if not isinstance(message, dict) or not {"result", "error"} & message.keys():
            got = f"{kind or 'nothing'}: {body[:200].decode('utf-8', 'replace')!r}"
            raise CallFailedError(f"The server's answer is no JSON-RPC, but {got}.")
        if message.get("id") != self.id or b"\n" in body:
            message["id"] = self.id
            body = json.dumps(message).encode()
        return Answer(body, message, headers.get("hyperhive-delivery"))

    def _persist(self) -> tuple[int, str, dict[str, str], bytes]:
        backoff = Backoff()
        deadline: float | None = None
        while True:
            answer, fault = None, None
            try:
                answer = self._connection.post("/mcp", self._headers, self._line)
            except _BrokenError as error:
                fault = error
            if answer is not None and answer[0] != UNAVAILABLE:
                return answer
            now = time.monotonic()
            deadline = deadline or now + RETRY_SECONDS
            if self.is_cancelled:
                raise CallFailedError("The request was cancelled.") from fault
            if now >= deadline:
                if answer is not None:
                    return answer
                raise CallFailedError(
                    f"The hive could not be reached for {RETRY_SECONDS:g} s: {fault} "
                    "It may be stopped; try again later."
                ) from fault
            self._connection.closed.wait(backoff.pause())


class Connection:
    """Requests to a Unix socket, one after the other, that another thread can close for good."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.closed.is_set()

    def close(self) -> None:
        """Break off the request under way and refuse any further."""
        with self._lock:
            self.closed.set()
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def post(
        self, path: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, str, dict[str, str], bytes]:
        """Return status, reason, headers (lower case) and body of the answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            with self._lock:
                if self.is_closed:
                    raise _BrokenError("It was closed.")
                self._socket = connection
            try:
                connection.settimeout(CONNECT_SECONDS)
                connection.connect(self._path)
                connection.settimeout(ANSWER_SECONDS)
                return _exchange(connection, path, headers, body)
            except OSError as error:
                raise _BrokenError(f"{self._path}: {error.strerror or error}.") from error
            except h11.RemoteProtocolError as error:
                raise _BrokenError(f"The connection broke: {error}.") from error
            finally:
                with self._lock:
                    self._socket = None


def confirm_delivery(socket_path: str, delivery: str, turn: str | None) -> None:
    """Tell the server that the client has what was delivered, trying for up to 15 seconds."""
    connection = Connection(socket_path)
    backoff = Backoff()
    deadline = time.monotonic() + CONFIRM_SECONDS
    path = f"/deliveries/{delivery}/confirm"
    while True:
        try:
            status, _, _, body = connection.post(path, _turn_header(turn), b"")
        except _BrokenError as error:
            fault = str(error)
        else:
            if status < 500:
                if status >= 300:
                    fault = f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}"
                    break
                return
            fault = f"HTTP {status}"
        if time.monotonic() >= deadline:
            break
        time.sleep(backoff.pause())
    sys.stderr.write(f"hyperhive mcp: delivery {delivery} is not confirmed: {fault}\n")


def _exchange(
    connection: socket.socket, path: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[int, str, dict[str, str], bytes]:
    http = h11.Connection(h11.CLIENT)
    fixed = [("Host", "hyperhive"), ("Connection", "close"), ("Content-Length", str(len(body)))]
    head = h11.Request(method="POST", target=path, headers=fixed + headers)
    events = (head, h11.Data(data=body), h11.EndOfMessage())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # A server may refuse and close before it has read everything.
        connection.sendall(b"".join(http.send(event) or b"" for event in events))
    response: h11.Response | None = None
    content = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(connection.recv(65536))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > ANSWER_BYTES_MAX:
                raise CallFailedError(f"The server's answer is over {ANSWER_BYTES_MAX} bytes.")
        elif isinstance(event, h11.EndOfMessage) and response is not None:
            break
        elif not isinstance(event, h11.InformationalResponse):
            raise _BrokenError("The server closed the connection without an answer.")
    names = {name.decode(): value.decode("latin-1") for name, value in response.headers}
    return response.status_code, bytes(response.reason).decode("latin-1"), names, bytes(content)


def _headers(
    method: str, params: object, version: str | None, turn: str | None
) -> list[tuple[str, str]]:
    headers = [
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
        ("Hyperhive-Request", os.urandom(16).hex()),
        *_turn_header(turn),
    ]
    given: Mapping[str, Any] = params if isinstance(params, Mapping) else {}
    meta = given.get("_meta")
    own = meta.get(_VERSION_KEY) if isinstance(meta, Mapping) else None
    if isinstance(own, str):
        # Clients without a handshake: the transport repeats method and name beside the version.
        headers += [("Mcp-Protocol-Version", _header_text(own)), ("Mcp-Method", method)]
        name = given.get(_NAMED_BY.get(method, ""))
        if isinstance(name, str):
            headers.append(("Mcp-Name", _header_text(name)))
    elif version is not None:
        headers.append(("Mcp-Protocol-Version", _header_text(version)))
    return headers


def _turn_header(turn: str | None) -> list[tuple[str, str]]:
    return [] if turn is None else [("Hyperhive-Turn", turn)]


def _header_text(text: str) -> str:
    """Write a text so that any header can carry it, as MCP prescribes for odd characters."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="


def _refusal(status: int, reason: str, message: object, body: bytes) -> CallFailedError:
    """Make the server's refusal a JSON-RPC error, keeping one that it already is."""
    document = message if isinstance(message, Mapping) else {}
    error = document.get("error")
    if isinstance(error, Mapping) and isinstance(error.get("code"), int):
        return CallFailedError(str(error.get("message")), error["code"], error.get("data"))
    data = {"status": status}
    if detail := document.get("detail"):
        if code := document.get("code"):
            data["code"] = code
        text = f"{detail} {document.get('remedy') or ''}".strip()
        return CallFailedError(text, SERVER_ERROR, data)
    shown = body[:200].decode("utf-8", "replace").strip()
    return CallFailedError(
        f"The server answered HTTP {status} {reason}{': ' if shown else '.'}{shown}",
        SERVER_ERROR,
        data,
    )
