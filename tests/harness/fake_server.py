"""A server for one agent's socket that keeps its promises and can be made to break them.

It runs in threads of the test's process. ``stop`` is a crash: every connection breaks at once;
``start`` again is the restart, which knows the open turns of sessions that come back.
"""

import contextlib
import json
import os
import queue
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

WAIT_SECONDS = 30.0


class Refused(Exception):  # noqa: N818 -- it is an answer, not an error
    """A tool's refusal: a result with ``isError``."""


class Problem(Exception):  # noqa: N818 -- it is an answer, not an error
    """An HTTP refusal with a problem document."""

    def __init__(self, status: int, code: str, detail: str = "It cannot be.") -> None:
        super().__init__(detail)
        self.status = status
        self.document = {
            "type": "about:blank", "title": "No", "status": status, "code": code,
            "detail": detail, "remedy": "Do otherwise.",
        }  # fmt: skip


class Raw(Exception):  # noqa: N818 -- it is an answer, not an error
    """An answer written as it is: status, content type, body."""


class FakeServer:
    """What the harness and the bridge see of the hive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.driver: dict[str, Any] = {
            "kind": "command", "command": [], "script": None, "model": None,
            "fallback_model": None, "extra_args": [], "turn_limit_seconds": 60,
        }  # fmt: skip
        self.heartbeat_seconds = 10.0
        self.hello_keys = {"session", "pid", "version", "probe"}
        """What a hello may say; an older server knows less, and refuses more."""
        self.changed = threading.Condition()
        self.hellos: list[dict[str, Any]] = []
        self.begun: list[int] = []
        self.events: dict[tuple[int, int], dict[str, Any]] = {}
        self.ends: dict[int, dict[str, Any]] = {}
        self.heartbeats: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        """What was told of boxes after the hello."""
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.confirmed: list[tuple[str, str | None]] = []
        self.gone = 0
        """Callers of MCP that closed their connection before they were answered."""
        self.looks = 0
        self.inbox: list[dict[str, Any]] = []
        self.tools: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "recv": self._recv,
            "echo": dict,
        }
        self.refuse: Callable[[str], Problem | None] = lambda path: None
        self.streams: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self.open_turns: dict[str, int] = {}
        self.over: set[int] = set()
        self._work: list[dict[str, Any]] = []
        self._last_turn = 0
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen on the socket."""
        self.path.unlink(missing_ok=True)
        self._server = _Server(str(self.path), self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Crash: the socket refuses, and whoever was connected loses the connection."""
        server, self._server = self._server, None
        if server is not None:
            server.crashed = True
            server.shutdown()
            server.server_close()
            with self.changed:
                for connection in list(server.connections):
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                self.streams.clear()
                self.changed.notify_all()

    def give(self, *messages: dict[str, Any], waiting: int = 0, **further: Any) -> int:
        """Make a turn of the messages for whoever waits for work.

        ``further`` is what only a newer server says: ``kind``, ``model``, ``fresh``, …
        """
        with self.changed:
            self._last_turn += 1
            turn = {"id": self._last_turn, "messages": list(messages), "waiting": waiting}
            self._work.append(turn | further)
            self.changed.notify_all()
            return self._last_turn

    def command(self, verb: str, turn: int | None = None) -> None:
        """Give an order to every connected harness."""
        line = {"type": "command", "verb": verb, "turn": turn, "reason": "Because."}
        for stream in list(self.streams.values()):
            stream.put(line)

    def forget(self) -> None:
        """End every open turn, as after an operator's cancel that nobody heard."""
        with self.changed:
            self.over |= set(self.open_turns.values())
            self.open_turns.clear()

    def wait_until(self, condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> None:
        """Return once the condition holds; AssertionError if it does not in time."""
        with self.changed:
            until = time.monotonic() + seconds
            while not condition():
                left = until - time.monotonic()
                assert left > 0, f"nothing of it in {seconds} s"
                self.changed.wait(min(left, 0.05))

    def texts(self, turn: int, kind: str = "text") -> list[str]:
        """The texts of a turn's events of one kind, in order."""
        events = sorted((n, event) for (of, n), event in self.events.items() if of == turn)
        return [event["data"]["text"] for _, event in events if event["kind"] == kind]

    def _recv(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = self._server
        with self.changed:
            self.changed.wait_for(
                lambda: self.inbox or self._server is not asked, arguments.get("wait_seconds", 0)
            )
            lives = self._server is asked
            taken = [self.inbox.pop(0)] if self.inbox and lives else []
            return {"messages": taken, "waiting": len(self.inbox)}

    def take_work(self, session: str, seconds: float, is_gone: Callable[[], bool]) -> Any:
        until = time.monotonic() + seconds
        with self.changed:
            self.looks += 1
            while not self._work:
                left = until - time.monotonic()
                if left <= 0 or is_gone():
                    return {"turn": None}
                self.changed.wait(min(left, 0.05))
            if is_gone():
                return {"turn": None}
            turn = self._work.pop(0)
            self.open_turns[session] = turn["id"]
            return {"turn": turn}


def a_message(**changes: Any) -> dict[str, Any]:
    """Build a message as the server writes it."""
    message = {
        "id": 7, "from": "queen", "to": "alice", "at": 1_800_000_000.0, "body": "hello",
        "in_reply_to": None, "broadcast": False, "attempt": 1, "redelivered": False, "hint": None,
    }  # fmt: skip
    return {**message, **{key.rstrip("_"): value for key, value in changes.items()}}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, fake: FakeServer) -> None:
        self.fake = fake
        self.connections: set[socket.socket] = set()
        self.crashed = False
        super().__init__(path, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        self.close_connection = True
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fake = self.server.fake
        try:
            if (problem := fake.refuse(self.path)) is not None:
                raise problem
            if self.path == "/harness/session" and not set(json.loads(raw)) <= fake.hello_keys:
                raise Problem(400, "invalid")
            if self.path == "/mcp":
                self._mcp(raw)
            elif self.path.startswith("/deliveries/"):
                self._record(fake.confirmed, (self.path.split("/")[2], self._header("Turn")))
                self._answer(204, b"")
            else:
                self._harness(json.loads(raw))
        except Problem as problem:
            body = json.dumps(problem.document).encode()
            self._answer(problem.status, body, "application/problem+json")
        except Raw as answer:
            self._answer(*answer.args)

    def _harness(self, body: dict[str, Any]) -> None:
        fake = self.server.fake
        session = body["session"]
        if self.path == "/harness/session":
            self._stream(session, body)
            return
        if session not in fake.streams:
            raise Problem(409, "session_unknown")
        parts = self.path.split("/")
        answer: Any = {}
        if self.path == "/harness/work":
            answer = fake.take_work(session, body["wait_seconds"], self._is_gone)
        elif self.path == "/harness/heartbeat":
            self._record(fake.heartbeats, body)
        elif self.path == "/harness/probe":
            if "probe" not in fake.hello_keys:
                raise Problem(404, "not_found")
            self._record(fake.probes, body)
        elif int(parts[3]) in fake.over:
            raise Problem(409, "turn_over")
        else:
            self._turn(int(parts[3]), parts[4], session, body)
        self._answer(200, json.dumps(answer).encode())

    def _turn(self, turn: int, what: str, session: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        with fake.changed:
            if what == "begin":
                fake.begun.append(turn)
            elif what == "events":
                assert len(body["events"]) <= 64
                for event in body["events"]:
                    fake.events.setdefault((turn, event["n"]), event)
            else:
                fake.ends.setdefault(turn, body)
                fake.open_turns.pop(session, None)
            fake.changed.notify_all()

    def _stream(self, session: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with fake.changed:
            fake.streams[session] = lines
            welcome = {
                "type": "welcome", "agent": "alice", "role": "worker", "hive": "hive",
                "manager": "queen", "system_prompt": "You are alice.", "driver": fake.driver,
                "heartbeat_seconds": fake.heartbeat_seconds,
                "turn": fake.open_turns.get(session),
            }  # fmt: skip
        try:
            self._record(fake.hellos, body)
            self._line(welcome)
            while not self._is_gone() and not self.server.crashed:
                with contextlib.suppress(queue.Empty):
                    self._line(lines.get(timeout=0.02))
        except OSError:
            pass
        finally:
            if not self.server.crashed:
                with fake.changed:
                    fake.streams.pop(session, None)
                    if (turn := fake.open_turns.pop(session, None)) is not None:
                        fake.over.add(turn)
                    fake.changed.notify_all()

    def _line(self, value: Any) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _mcp(self, raw: bytes) -> None:
        fake = self.server.fake
        message = json.loads(raw)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self._record(fake.requests, (headers, message))
        if "id" not in message:
            self._answer(202, b"")
            return
        params = message.get("params", {})
        result: dict[str, Any] = {}
        delivery: str | None = None
        if message["method"] == "initialize":
            version = params["protocolVersion"]
            server = {"name": "hive", "version": "1"}
            capabilities: dict[str, Any] = {"tools": {}}
            result = {
                "protocolVersion": version, "capabilities": capabilities, "serverInfo": server,
            }  # fmt: skip
        elif message["method"] == "tools/list":
            schema = {"type": "object"}
            result = {"tools": [{"name": name, "inputSchema": schema} for name in fake.tools]}
        elif message["method"] == "tools/call":
            tool = fake.tools[params["name"]]
            try:
                value = tool(params.get("arguments", {}))
                content = [{"type": "text", "text": json.dumps(value)}]
                result = {"content": content, "structuredContent": value, "isError": False}
                delivery = os.urandom(4).hex() if params["name"] == "recv" else None
            except Refused as refusal:
                result = {"content": [{"type": "text", "text": str(refusal)}], "isError": True}
        if self._is_gone():
            with fake.changed:
                fake.gone += 1
                fake.changed.notify_all()
            return
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        self._answer(200, json.dumps(answer).encode(), delivery=delivery)

    def _header(self, name: str) -> str | None:
        return self.headers.get(f"Hyperhive-{name}")

    def _is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        with contextlib.suppress(OSError):
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        return True

    def _answer(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        delivery: str | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            if delivery is not None:
                self.send_header("Hyperhive-Delivery", delivery)
            self.end_headers()
            self.wfile.write(body)

    def _record(self, where: list[Any], what: Any) -> None:
        with self.server.fake.changed:
            where.append(what)
            self.server.fake.changed.notify_all()
