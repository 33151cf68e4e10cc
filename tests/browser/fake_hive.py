"""The operator's HTTP surface over a hive in memory, for tests of the page alone.

It serves the page's own files with the page's own policy, answers as the operator's API does, and
can be told to misbehave: cut its streams, refuse them, refuse a request. Every request is recorded.
"""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from hyperhive.surfaces.dashboard import INDEX, LOGIN, STATIC
from hyperhive.surfaces.http.gate import CONTENT_SECURITY_POLICY
from tests.browser.hive_model import OPERATOR, HiveModel, Json

CSRF: Final = "a-token-for-the-page"
SECRET: Final = "correct horse"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that was made."""

    method: str
    path: str
    body: Json


@dataclass
class Trouble:
    """What the server does wrong on purpose."""

    streams_refused: bool = False
    logged_out: bool = False
    held_up: bool = False
    """Whether what is sent comes only when it is at its end, as behind a proxy that waits."""
    refusals: dict[str, tuple[int, Json]] = field(default_factory=dict)
    """By path: the status and problem that every request to it gets."""


class FakeHive:
    """A server on a free port of loopback, for as long as the ``with`` block lasts."""

    def __init__(self, model: HiveModel) -> None:
        self.model = model
        self.trouble = Trouble()
        self.seen: list[Seen] = []
        self.streams = 0
        """Streams that are open now; changes are notified through the model's condition."""
        self.generation = 0
        self.audit: list[Json] = []
        self.figures: Json = {"since": 0.0, "step_seconds": 1800.0, "agents": {}}
        handler = type("BoundHandler", (_Handler,), {"hive": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut_streams()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cut_streams(self) -> None:
        """End every stream that is open."""
        with self.model.changed:
            self.generation += 1
            self.model.changed.notify_all()

    def wait_for_streams(self, count: int) -> None:
        """Wait until so many streams are open."""
        with self.model.changed:
            assert self.model.changed.wait_for(lambda: self.streams == count, timeout=10)

    def requests(self, method: str, path: str) -> list[Seen]:
        """Give the requests of one kind so far."""
        return [s for s in self.seen if s.method == method and urlsplit(s.path).path == path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    hive: FakeHive
    _held: bytes | None = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Stay silent: the tests look at ``seen``."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.hive.seen.append(Seen("GET", self.path, {}))
        if self._refused(url.path):
            return
        model = self.hive.model
        match url.path.strip("/").split("/"):
            case [""]:
                self._file(INDEX)
            case ["login"]:
                self._file(LOGIN)
            case ["static", *parts]:
                self._file(STATIC.joinpath(*parts))
            case ["api", "state"]:
                self._json(200, model.snapshot())
            case ["api", "session"]:
                self._json(200, {"operator": "operator", "csrf": CSRF})
            case ["api", "messages"]:
                before = int(query["before"]) if "before" in query else None
                limit = int(query.get("limit", "50"))
                wanted = {key: query[key] for key in ("agent", "state") if key in query}
                self._json(200, model.older(before, limit, **wanted))
            case ["api", "messages", ident] if int(ident) in model.messages:
                self._json(200, model.whole(int(ident)))
            case ["api", "approvals", ident] if int(ident) in model.approvals:
                number = int(ident)
                self._json(200, {**model.approvals[number], "shown": model.shown_of[number]})
            case ["api", "reminders"]:
                found, limit = self._reminders(query), int(query["limit"])
                self._json(200, {"reminders": found[:limit], "more": len(found) > limit})
            case ["api", "reminders", ident] if int(ident) in model.reminders:
                row = model.reminders[int(ident)]
                self._json(200, {**row, "body": row["preview"]})
            case ["api", "agents", name, "turns"] if name in model.agents:
                rows = [row for row in model.turn_rows.values() if row["agent"] == name]
                before = int(query.get("before", "1000000"))
                found = [row for row in reversed(rows) if row["id"] < before]
                limit = int(query["limit"])
                self._json(200, {"turns": found[:limit], "more": len(found) > limit})
            case ["api", "agents", name, "quotas"] if name in model.agents:
                self._json(200, {"quotas": {"messages": {"limit": 120, "used": 3}}})
            case ["api", "agents", name, "logs"] if name in model.agents:
                self._json(200, {"lines": ["first", "last"]})
            case ["api", "agents", name, "deployments"] if name in model.agents:
                self._json(200, {"deployments": model.deployments})
            case ["api", "forge"]:
                self._json(200, {"forge": model.forge, "accounts": sorted(model.agents)})
            case ["api", "forge", "repositories"]:
                self._json(200, {"repositories": model.repositories})
            case ["api", "threads"]:
                self._json(200, model.threads(query["agent"]))
            case ["api", "turns", turn, "stream"]:
                self._transcript(int(turn), int(query["after"]))
            case ["api", "turns", turn, "events"]:
                lines = model.lines.get(int(turn), [])
                found = [line for line in lines if line["n"] > int(query["after"])]
                self._json(200, {"events": found, "more": False})
            case ["api", "figures"]:
                self._json(200, self.hive.figures)
            case ["api", "health"]:
                facts = {"status": "ok", "version": "0.1.0", "uptime_seconds": 3600.0}
                self._json(200, {**facts, "agents": len(model.agents), "seq": model.seq})
            case ["api", "disk"]:
                self._json(200, {"total": 10**12, "free": 4 * 10**11, "agents": {"alice": 2**24}})
            case ["api", "plan"]:
                self._json(200, {"actions": [], "warnings": []})
            case ["api", "audit"]:
                self._json(200, {"entries": self.hive.audit, "more": False})
            case ["dashboard", "stream"]:
                self._stream(int(query["after"]), query["epoch"], once="once" in query)
            case _:
                self._problem(404, {"detail": "There is no such thing.", "code": "not_found"})

    def do_POST(self) -> None:
        given = self.rfile.read(int(self.headers.get("content-length", "0")))
        is_json = self.headers.get("content-type") == "application/json"
        body = json.loads(given) if is_json else {}
        self.hive.seen.append(Seen("POST", self.path, body))
        if self._refused(self.path):
            return
        if not is_json:
            self._problem(400, {"detail": "That is no JSON.", "code": "invalid"})
        elif self.path == "/login":
            self._login(body)
        elif self.headers.get("x-hyperhive-csrf") != CSRF:
            self._problem(
                403, {"detail": "The request does not come from the page.", "code": "forbidden"}
            )
        else:
            self._act(self.path.strip("/").split("/"), body)

    def _act(self, parts: list[str], body: Json) -> None:
        model = self.hive.model
        match parts:
            case ["api", "messages"] if body["to"] == "*":
                ids = {
                    n: model.send("operator", n, body["body"], broadcast=True) for n in model.agents
                }
                self._json(
                    201, {"id": None, "ids": ids, "to": "*", "left_out": [], "seq": model.seq}
                )
            case ["api", "messages"]:
                facts = {"in_reply_to": body.get("in_reply_to")}
                ident = model.send("operator", body["to"], body["body"], **facts)
                receiver = model.agents[body["to"]]["state"]
                self._json(
                    201,
                    {
                        "id": ident,
                        "ids": {},
                        "to": body["to"],
                        "receiver": receiver,
                        "seq": model.seq,
                    },
                )
            case ["api", "messages", ident, ("requeue" | "drop" | "read") as verb]:
                getattr(model, verb)(int(ident))
                self._json(
                    200,
                    {
                        "id": int(ident),
                        "state": model.messages[int(ident)]["state"],
                        "seq": model.seq,
                    },
                )
            case ["api", "approvals", ident, "approve"]:
                self._approve(int(ident), body)
            case ["api", "approvals", ident, ("deny" | "cancel") as verb]:
                state = "denied" if verb == "deny" else "cancelled"
                model.decide(int(ident), state, note=body.get("note"))
                self._done(None, verb)
            case ["api", "questions", ident, "answer"]:
                model.close_question(int(ident), "answered", body["answer"])
                self._done(None, "answer")
            case ["api", "questions", ident, "cancel"]:
                model.close_question(int(ident), "cancelled")
                self._done(None, "cancel")
            case ["api", "reminders", ident, ("cancel" | "retry") as verb]:
                model.move_reminder(int(ident), "cancelled" if verb == "cancel" else "pending")
                self._done(None, verb)
            case ["api", "threads", kind, ident, "cancel"]:
                self._withdraw(kind, int(ident))
                self._done(None, "cancel")
            case ["api", "agents", name, verb] if name in model.agents:
                self._agent(name, verb, body)
            case ["api", "hive", ("pause" | "resume") as verb]:
                getattr(model, verb)(None)
                self._done(None, verb)
            case ["api", "hive", "restart"]:
                model.set_rollout(reason=body["reason"])
                self._done(None, "restart")
            case ["api", "tombstones", name, "purge"] if name in model.tombstones:
                model.purge(name)
                self._done(name, "purge")
            case ["api", "tombstones", name, "revive"] if name in model.tombstones:
                model.add_agent(name, declared=False)
                self._done(name, "revive")
            case ["api", "spawn"]:
                model.propose(OPERATOR, f"Spawn {body['name']}", kind="spawn", shown=body)
                self._done(body["name"], "spawn")
            case ["api", "hive", "update-inputs"]:
                model.propose(OPERATOR, "Update the inputs", kind="input_update")
                self._done(None, "update-inputs")
            case ["api", "forge", "accounts", name, "rotate"] if name in model.agents:
                self._done(name, "rotate")
            case ["api", "forge", "password"]:
                told = {"account": OPERATOR, "password": "fresh one", "url": "http://forge/"}
                self._json(200, {**told, "did": "password", "seq": model.seq})
            case ["api", "apply"]:
                self._done(None, "apply")
            case ["api", "backup"]:
                self._json(200, {"path": "state/backups/1.db", "bytes": 4096, "seq": model.seq})
            case ["logout"]:
                self.hive.trouble.logged_out = True
                self._json(200, {})
            case _:
                self._problem(404, {"detail": "There is no such thing.", "code": "not_found"})

    def _withdraw(self, kind: str, ident: int) -> None:
        model = self.hive.model
        match kind:
            case "approval":
                model.decide(ident, "cancelled")
            case "question":
                model.close_question(ident, "cancelled")
            case "reminder":
                model.move_reminder(ident, "cancelled")

    def _agent(self, name: str, verb: str, body: Json) -> None:
        """Do to an agent what is recorded at once; what follows from it is the test's to tell."""
        model = self.hive.model
        match verb:
            case "pause" | "resume":
                getattr(model, verb)(name)
            case "stop":
                model.hold(name)
            case "start":
                model.unhold(name)
            case "restart" | "rebuild":
                model.set_transient(name)
            case "model":
                model.set_model(name, body["model"])
            case "destroy":
                model.remove_agent(name)
            case "cancel-turn" | "compact" | "new-session" | "redeploy":
                pass
            case _:
                self._problem(404, {"detail": "There is no such thing.", "code": "not_found"})
                return
        self._done(name, verb)

    def _done(self, name: str | None, verb: str) -> None:
        self._json(200, {"agent": name, "did": verb, "seq": self.hive.model.seq})

    def _approve(self, ident: int, body: Json) -> None:
        model = self.hive.model
        if body != {"digest": model.approvals[ident]["digest"]}:
            told = {"detail": "It is not what you were shown.", "remedy": "Read it again."}
            self._problem(409, {**told, "code": "conflict"})
            return
        model.decide(ident, "approved")
        self._done(None, "approve")

    def _reminders(self, query: dict[str, str]) -> list[Json]:
        def matches(row: Json) -> bool:
            return (
                row["id"] < int(query.get("before", "1000000"))
                and query.get("state") in (None, row["state"])
                and query.get("agent") in (None, row["agent"])
                and query.get("text", "") in row["preview"]
            )

        return [row for row in reversed(self.hive.model.reminders.values()) if matches(row)]

    def _transcript(self, turn: int, after: int) -> None:
        """Stream a turn's lines as they are written, until it has ended."""
        hive = self.hive
        self._begin_stream()
        generation = hive.generation
        try:
            while hive.generation == generation:
                fresh, is_over = self._lines(turn, after, generation)
                if fresh:
                    after = fresh[-1]["n"]
                    self._say("lines", {"events": fresh})
                elif is_over:
                    self._say("end", {"turn": turn})
                    return
        except (BrokenPipeError, ConnectionResetError):
            return

    def _lines(self, turn: int, after: int, generation: int) -> tuple[list[Json], bool]:
        """Wait for lines after a position, or for the turn's end; say whether it has ended."""
        hive, model = self.hive, self.hive.model
        row = model.turn_rows[turn]
        with model.changed:
            model.changed.wait_for(
                lambda: bool(
                    model.lines.get(turn, [])[after + 1 :]
                    or row["ended_at"]
                    or hive.generation != generation
                )
            )
            return model.lines.get(turn, [])[after + 1 :], row["ended_at"] is not None

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def _login(self, body: Json) -> None:
        if body != {"secret": SECRET}:
            self._problem(
                401, {"detail": "That is not the secret.", "remedy": "Look in the secret file."}
            )
            return
        self.hive.trouble.logged_out = False
        self._json(200, {"csrf": CSRF})

    def _refused(self, path: str) -> bool:
        trouble = self.hive.trouble
        if path in trouble.refusals:
            self._problem(*trouble.refusals[path])
        elif trouble.logged_out and path.startswith(("/api", "/dashboard")):
            self._problem(
                401, {"detail": "Nobody is logged in.", "remedy": "Log in.", "code": "unauthorized"}
            )
        elif trouble.streams_refused and path == "/dashboard/stream":
            self._problem(503, {"detail": "Not now.", "code": "unavailable"})
        else:
            return False
        return True

    def _stream(self, after: int, epoch: str, *, once: bool) -> None:
        hive, model = self.hive, self.hive.model
        self._held = b"" if hive.trouble.held_up else None
        self._begin_stream()
        with model.changed:
            generation = hive.generation
            hive.streams += 1
            model.changed.notify_all()
        try:
            self._say("hello", {"epoch": model.epoch, "seq": model.seq, "at": model.clock()})
            if epoch != model.epoch or after < model.trimmed_to:
                self._say("reset", {"reason": "epoch" if epoch != model.epoch else "trimmed"})
                return
            while hive.generation == generation:
                fresh = self._events(after, generation)
                for event in fresh:
                    self._say("event", event, f"{model.epoch}:{event['seq']}")
                    after = event["seq"]
                if once:
                    self._let_go()
                    return
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            with model.changed:
                hive.streams -= 1
                model.changed.notify_all()

    def _events(self, after: int, generation: int) -> list[Json]:
        """Wait for events after a position; none when the streams of a generation are cut."""
        hive, model = self.hive, self.hive.model
        with model.changed:
            model.changed.wait_for(lambda: model.seq > after or hive.generation != generation)
            cut = hive.generation != generation
            return [] if cut else [e for e in model.events if e["seq"] > after]

    def _say(self, kind: str, data: Json, ident: str = "") -> None:
        head = f"id: {ident}\n" if ident else ""
        piece = f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
        if self._held is not None:
            self._held += piece
            return
        self.wfile.write(piece)
        self.wfile.flush()

    def _let_go(self) -> None:
        if self._held is not None:
            self.wfile.write(self._held)

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._problem(404, {"detail": "There is no such file.", "code": "not_found"})
            return
        self._answer(200, TYPES[path.suffix], path.read_bytes())

    def _json(self, status: int, data: Json) -> None:
        self._answer(status, "application/json", json.dumps(data).encode())

    def _problem(self, status: int, problem: Json) -> None:
        self._answer(status, "application/problem+json", json.dumps(problem).encode())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("content-security-policy", CONTENT_SECURITY_POLICY)
        self.send_header("x-content-type-options", "nosniff")
        self.end_headers()
        self.wfile.write(content)
