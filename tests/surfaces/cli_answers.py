"""How a command of the command line ended, and what a hive answers one, for its tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def a_message(number: int = 7, **other: object) -> dict[str, object]:
    return {
        "id": number, "from": "queen", "to": "bob", "at": 1.0, "in_reply_to": None,
        "broadcast": False, "state": "queued", "attempts": 0, "redelivered": False,
        "not_before": None, "reason": None, "preview": "hello", "size": 5, "read_at": None, **other,
    }  # fmt: skip


def an_event(seq: int, kind: str = "message_read", **data: object) -> dict[str, object]:
    return {
        "seq": seq, "at": 1.0, "kind": kind, "agent": "bob", "actor": "bob",
        "data": data or {"id": seq},
    }  # fmt: skip


def a_snapshot(
    *,
    agent_facts: Mapping[str, object] = MappingProxyType({}),
    hive_facts: Mapping[str, object] = MappingProxyType({}),
    **other: object,
) -> dict[str, object]:
    agent = {
        "name": "bob", "role": "worker", "description": "", "declared": True, "driver": "scripted",
        "runtime": "process", "state": "busy", "reason": None, "since": 1.0,
        "status": "reading", "status_at": 1.0, "turn": {"id": 4, "started_at": 1.0},
        "inbox": {"queued": 2, "leased": 1, "dead": 0}, "pauses": [], "held": None,
        "transient": None, "model": None, "declared_model": None, "context": None, "probe": None,
        "bytes": None,
    }  # fmt: skip
    hive = {
        "name": "demo", "version": "0.1.0", "started_at": 10.0,
        "pauses": [], "rollout": None, "spent_today_usd": 0.0,
    }  # fmt: skip
    return {
        "seq": 5, "epoch": "e1", "at": 100.0, "hive": {**hive, **hive_facts},
        "agents": [{**agent, **agent_facts}], "messages": [], "dead": [],
        "operator": {"unread": 3}, "alerts": [], "tombstones": [], "questions": [], **other,
    }  # fmt: skip


def a_pause(**other: object) -> dict[str, object]:
    return {"cause": "operator", "reason": "too hot", "since": 1.0, "until": None, **other}


def a_rollout(**other: object) -> dict[str, object]:
    return {
        "id": 6, "reason": "new broom", "manager": "queen", "order": ["queen", "alice", "bob"],
        "deadline": 161.0, "phase": "draining", "cut": [], "going": {}, "restarted": [],
        "failed": {}, "waiting": ["queen", "alice", "bob"], **other,
    }  # fmt: skip
