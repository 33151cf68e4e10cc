"""The rows of a hive in memory, and an event for every change of them.

Every method changes rows and appends the event under one lock; ``changed`` is notified after each.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

OPERATOR: Final = "operator"
PREVIEW: Final = 280
Json = dict[str, Any]


@dataclass
class Rows:
    """The rows of a hive. ``window`` is how many messages a snapshot holds."""

    name: str = "meadow"
    version: str = "0.1.0"
    clock: Callable[[], float] = time.time
    window: int = 200
    epoch: str = "e1"
    agents: dict[str, Json] = field(default_factory=dict)
    messages: dict[int, Json] = field(default_factory=dict)
    alerts: dict[str, Json] = field(default_factory=dict)
    tombstones: dict[str, Json] = field(default_factory=dict)
    pauses: list[Json] = field(default_factory=list)
    rollout: Json | None = None
    plan: list[Json] = field(default_factory=list)
    spent: float = 0.0
    limits: Json = field(default_factory=lambda: {"agents": 50, "spend_per_day_usd": None})
    events: list[Json] = field(default_factory=list)
    questions: dict[int, Json] = field(default_factory=dict)
    approvals: dict[int, Json] = field(default_factory=dict)
    shown_of: dict[int, Json] = field(default_factory=dict)
    reminders: dict[int, Json] = field(default_factory=dict)
    forge: Json | None = None
    pulls: dict[int, Json] = field(default_factory=dict)
    repositories: list[Json] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)
    turn_rows: dict[int, Json] = field(default_factory=dict)
    lines: dict[int, list[Json]] = field(default_factory=dict)
    trimmed_to: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    turns: int = 0
    last_id: int = 0

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    @property
    def seq(self) -> int:
        """The position after the last event."""
        return int(self.events[-1]["seq"]) if self.events else 0

    def _pauses(self, name: str | None) -> list[Json]:
        pauses: list[Json] = self.pauses if name is None else self.agents[name]["pauses"]
        return pauses

    def _step(
        self,
        ident: int,
        kind: str,
        facts: Json,
        actor: str = "system",
        at: float | None = None,
        **change: Any,
    ) -> None:
        with self.changed:
            row = self.messages[ident]
            row.update(change)
            data = {"id": ident, "from": row["from"], "to": row["to"], **facts}
            self._emit(kind, row["to"], data, actor=actor, at=at)

    def _emit(
        self,
        kind: str,
        agent: str | None,
        data: Json,
        actor: str = "system",
        at: float | None = None,
    ) -> None:
        moment = self.clock() if at is None else at
        event = {"seq": self.seq + 1, "at": moment, "kind": kind, "agent": agent, "actor": actor}
        self.events.append({**event, "data": data})
        self.changed.notify_all()

    def _told(
        self, noun: str, step: str, row: Json, agent: str, actor: str = "system", **more: Any
    ) -> None:
        self._emit(f"{noun}_{step}", agent, {noun: dict(row), **more}, actor=actor)


def shown(row: Json) -> Json:
    """Give a message as lists show it: with the beginning of its body."""
    public = {key: value for key, value in row.items() if key != "body"}
    return {**public, "preview": row["body"][:PREVIEW]}


def message_of(event: Json) -> int | None:
    """Give the message that an event is about, if it is about one."""
    if not event["kind"].startswith("message_"):
        return None
    data = event["data"]
    return int(data["message"]["id"] if "message" in data else data["id"])


def open_and_closed(rows: dict[int, Json]) -> list[Json]:
    """Give all that are open, and the 50 that were closed last."""
    closed = [row for row in rows.values() if row["closed_at"] is not None]
    closed.sort(key=lambda row: (row["closed_at"], row["id"]))
    kept = {row["id"] for row in closed[-50:]}
    found = (row for row in rows.values() if row["closed_at"] is None or row["id"] in kept)
    return [dict(row) for row in found]


def thread(kind: str, row: Json, summary: str, other: str | None = None) -> Json:
    """Show what hangs."""
    return {
        "kind": kind, "id": row["id"], "summary": summary, "since": row["at"], "with": other,
    }  # fmt: skip


def utc(at: float) -> str:
    """Write a time as agents read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
