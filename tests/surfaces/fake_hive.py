"""A stand-in for the server: answers what a test scripts, and remembers what it was asked.

It speaks real HTTP over a real socket, so that clients are tested with their transport. An
answer may also be a stream that ends, or a connection that breaks before a word is said.
"""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

Route = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """A whole answer; ``body`` is JSON unless it is bytes."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False
    """Close the connection afterwards without having said so."""


@dataclass(frozen=True)
class Broken:
    """The connection ends before any answer."""


@dataclass(frozen=True)
class Stream:
    """A stream of server-sent events that says its text and ends."""

    text: str


Scripted = Answer | Broken | Stream


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: Any

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class FakeHive:
    """Scripted answers by method and path; the last one for a route is repeated."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[Asked] = []
        self._answers: dict[Route, list[Scripted]] = {}

    def answers(self, method: str, path: str, *scripted: Scripted) -> None:
        """Script the answers to a route, in order."""
        self._answers[method, path] = list(scripted)

    def asked_of(self, path: str) -> list[Asked]:
        """What a path was asked, in order."""
        return [asked for asked in self.asked if asked.path == path]

    def next_answer(self, asked: Asked) -> Scripted:
        """Remember a request and choose its answer."""
        self.asked.append(asked)
        waiting = self._answers.get((asked.method, asked.path))
        if not waiting:
            return problem("not_found", 404, f"There is no {asked.path!r}.")
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def problem(code: str, status: int, detail: str, remedy: str = "") -> Answer:
    """Build a refusal as the server words it."""
    told = {"type": "about:blank", "title": code, "status": status, "detail": detail}
    return Answer({**told, "code": code, "remedy": remedy}, status)


@contextmanager
def fake_hive(path: Path) -> Iterator[FakeHive]:
    """Serve a fake hive on a Unix socket."""
    hive = FakeHive(str(path))
    with _serving(_UnixServer(str(path), _handler_of(hive))):
        yield hive


@contextmanager
def fake_hive_on_tcp() -> Iterator[FakeHive]:
    """Serve a fake hive on a free port of the loopback."""
    hive = FakeHive("")
    server = _TcpServer(("127.0.0.1", 0), _handler_of(hive))
    hive.address = f"http://127.0.0.1:{server.server_address[1]}"
    with _serving(server):
        yield hive


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler_of(hive: FakeHive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(size)
            asked = Asked(
                self.command,
                self.path,
                dict(self.headers),
                json.loads(sent) if sent else None,
            )
            match hive.next_answer(asked):
                case Broken():
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                case Stream(text):
                    self.close_connection = True
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(text.encode())
                case Answer(body, status, headers, closes):
                    told = body if isinstance(body, bytes) else json.dumps(body).encode()
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(told)))
                    self.end_headers()
                    self.wfile.write(told)
                    self.close_connection = closes

    return Handler
