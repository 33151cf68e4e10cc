"""A hive in memory, as the operator's API shows one: rows, and an event for every change of them.

Snapshots are made from the rows alone and never from events, so that a page which applied the
events can be held against a snapshot taken later. Every method changes rows and appends the event
under one lock; ``changed`` is notified after each.
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
class HiveModel:
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

    # What is asked for

    def snapshot(self) -> Json:
        """Give everything that a page begins with."""
        with self.changed:
            rows = [shown(m) for m in self.messages.values()]
            return {
                "seq": self.seq,
                "epoch": self.epoch,
                "at": self.clock(),
                "hive": {
                    "name": self.name,
                    "version": self.version,
                    "started_at": self.started_at,
                    "pauses": list(self.pauses),
                    "rollout": self.rollout,
                    "spent_today_usd": self.spent,
                    "limits": dict(self.limits),
                },
                "agents": [self.agent(name) for name in self.agents],
                "plan": list(self.plan),
                "messages": rows[-self.window :],
                "dead": [m for m in rows if m["state"] == "dead"],
                "operator": {
                    "unread": sum(m["to"] == OPERATOR and m["read_at"] is None for m in rows)
                },
                "alerts": [dict(alert) for alert in self.alerts.values()],
                "tombstones": [dict(stone) for stone in self.tombstones.values()],
                "questions": open_and_closed(self.questions),
                "approvals": open_and_closed(self.approvals),
                "reminders": self.reminding(),
                "forge": self.forge
                and {**self.forge, "pull_requests": open_and_closed(self.pulls)},
            }

    def agent(self, name: str) -> Json:
        """Give one agent with its inbox counted from the messages."""
        mine = [m["state"] for m in self.messages.values() if m["to"] == name]
        inbox = {state: mine.count(state) for state in ("queued", "leased", "dead")}
        row = self.agents[name]
        return {**row, "pauses": list(row["pauses"]), "inbox": inbox}

    def whole(self, ident: int) -> Json:
        """Give a message with its body and everything that happened to it."""
        with self.changed:
            history = [e for e in self.events if message_of(e) == ident]
            row = self.messages[ident]
            return {**shown(row), "body": row["body"], "history": history}

    def older(
        self, before: int | None, limit: int, agent: str | None = None, state: str | None = None
    ) -> Json:
        """Give a page of messages, newest first: to or from an agent, in a state."""
        with self.changed:
            rows = [
                m
                for i, m in self.messages.items()
                if (before is None or i < before)
                and agent in (None, m["from"], m["to"])
                and state in (None, m["state"])
            ]
            page = [shown(m) for m in reversed(rows[-limit:])]
            return {"messages": page, "more": len(rows) > limit}

    def reminding(self) -> Json:
        """Give the reminders that a page begins with, and how many of each agent there are."""
        counts: dict[str, Json] = {}
        for row in self.reminders.values():
            if row["state"] in ("pending", "failed"):
                mine = counts.setdefault(row["agent"], {"pending": 0, "failed": 0})
                mine[row["state"]] += 1
        held = [r for r in self.reminders.values() if r["state"] in ("pending", "failed")]
        return {"counts": counts, "rows": [dict(row) for row in held]}

    def threads(self, agent: str) -> Json:
        """List what hangs on an agent."""
        with self.changed:
            found = [*self._asked(agent), *self._sent(agent), *self._opened(agent)]
            found += [
                thread("approval", row, f"{row['kind']}, {row['state']}: {row['title']}", OPERATOR)
                for row in self.approvals.values()
                if row["requester"] == agent and row["closed_at"] is None
            ]
            found += [
                thread(
                    "reminder", row, f"{row['state']}, due {utc(row['due_at'])}: {row['preview']}"
                )
                for row in self.reminders.values()
                if row["agent"] == agent and row["closed_at"] is None
            ]
            return {"threads": found, "more": [], "seq": self.seq}

    def _asked(self, agent: str) -> list[Json]:
        rows = [row for row in self.questions.values() if row["state"] == "open"]
        owed = [row for row in rows if row["target"] == agent]
        asked = [row for row in rows if row["asker"] == agent and row["target"] != agent]
        return [
            *(thread("question", r, f"owes an answer: {r['question']}", r["asker"]) for r in owed),
            *(
                thread("question", r, f"waits for an answer: {r['question']}", r["target"])
                for r in asked
            ),
        ]

    def _sent(self, agent: str) -> list[Json]:
        leads = {"queued": "not yet taken up", "dead": "dead"}
        return [
            thread("message", row, f"{leads[row['state']]}: {row['body']}", row["to"])
            for row in self.messages.values()
            if row["from"] == agent and row["state"] in leads
        ]

    def _opened(self, agent: str) -> list[Json]:
        found = []
        for row in self.pulls.values():
            where = f"{row['repository']}#{row['number']}"
            if row["state"] != "open":
                continue
            if row["author"] == agent:
                text, other = "your pull request", ", ".join(row["reviewers"]) or None
            elif agent in row["reviewers"]:
                text, other = "to be reviewed by you", row["author"]
            else:
                continue
            shown = thread("pull_request", row, f"{where}, {text}: {row['title']}", other)
            found.append({**shown, "url": row["url"]})
        return found

    # What is decided

    def ask(self, asker: str, question: str, target: str = OPERATOR, **facts: Any) -> int:
        """Let an agent ask."""
        with self.changed:
            ident = len(self.questions) + 1
            row = {
                "id": ident, "asker": asker, "target": target, "question": question,
                "options": [], "multi": False, "state": "open", "at": self.clock(),
                "expires_at": None, "answer": None, "answerer": None, "answered_at": None,
                "late": False, "closed_at": None, **facts,
            }  # fmt: skip
            self.questions[ident] = row
            self._told("question", "added", row, target, asker)
            return ident

    def close_question(self, ident: int, state: str, answer: Any = None) -> None:
        """Answer a question, or end it without an answer."""
        with self.changed:
            at = self.clock()
            told = {"answer": answer, "answerer": OPERATOR, "answered_at": at}
            row = self.questions[ident]
            row.update(state=state, closed_at=at, **(told if state == "answered" else {}))
            self._told("question", state, row, row["asker"], OPERATOR)

    def propose(
        self,
        requester: str,
        title: str,
        kind: str = "action",
        shown: Json | None = None,
        **facts: Any,
    ) -> int:
        """Let an agent ask for a yes; ``shown`` is what the operator is shown."""
        with self.changed:
            ident = len(self.approvals) + 1
            row = {
                "id": ident, "kind": kind, "requester": requester, "agent": None, "title": title,
                "digest": f"digest-{ident}", "state": "pending", "at": self.clock(),
                "expires_at": None, "decided_at": None, "decided_by": None, "note": None,
                "started_at": None, "closed_at": None, "error": None, "result": None, **facts,
            }  # fmt: skip
            self.approvals[ident] = row
            self.shown_of[ident] = {"title": title, **(shown or {})}
            self._told("approval", "added", row, requester, requester)
            return ident

    def decide(self, ident: int, state: str, **facts: Any) -> None:
        """Move an approval on; what is over says since when."""
        with self.changed:
            over = state in ("done", "failed", "denied", "cancelled")
            row = self.approvals[ident]
            row.update(state=state, decided_by=OPERATOR, **facts)
            row["closed_at"] = self.clock() if over else None
            self._told("approval", "resolved" if over else "changed", row, row["requester"])

    def remind(self, agent: str, text: str, **facts: Any) -> int:
        """Let an agent be reminded later."""
        with self.changed:
            ident, at = len(self.reminders) + 1, self.clock()
            row = {
                "id": ident, "agent": agent, "state": "pending", "preview": text[:PREVIEW],
                "bytes": len(text.encode()), "at": at, "due_at": at + 600, "next_at": at + 600,
                "file_path": None, "repeat_every_seconds": None, "attempts": 0,
                "last_error": None, "late": False, "deliveries": 0, "delivered_at": None,
                "message": None, "closed_at": None, **facts,
            }  # fmt: skip
            self.reminders[ident] = row
            self._told("reminder", "added", row, agent, agent)
            return ident

    def move_reminder(self, ident: int, state: str, **facts: Any) -> None:
        """Deliver, fail, cancel or retry a reminder."""
        with self.changed:
            row = self.reminders[ident]
            step, was = "changed" if state == "pending" else state, row["state"]
            is_open = state in ("pending", "failed")
            row.update(state=state, closed_at=None if is_open else self.clock(), **facts)
            self._told("reminder", step, row, row["agent"], was=was)

    def set_forge(self, **facts: Any) -> None:
        """Say how the forge is; there is one from then on."""
        with self.changed:
            known = self.forge or {"kind": "embedded", "url": "http://forge/", "reason": None}
            self.forge = {**known, "state": "ready", **facts}
            self._emit("forge_changed", None, {"forge": dict(self.forge)})

    def set_repositories(self, *names: str) -> None:
        """Let the forge hold these repositories."""
        with self.changed:
            self.repositories = [
                {
                    "name": name, "description": f"what {name.partition('/')[2]} is about",
                    "url": f"http://forge/{name}", "clone_url": f"http://forge/{name}.git",
                    "branch": "main", "empty": False, "open_pulls": 1, "updated_at": self.clock(),
                }
                for name in names
            ]  # fmt: skip
            self._emit("forge_repositories_changed", None, {"repositories": len(names)})

    def deployed(self, name: str, commit: str, subject: str) -> None:
        """Let this be what a spawned agent was brought to last."""
        with self.changed:
            tags = [f"deployed/{len(self.deployments) + 1}"]
            row = {"commit": commit, "subject": subject, "author": "queen", "at": self.clock()}
            self.deployments.insert(0, {**row, "tags": tags})
            self.agents[name]["spawned"] = {"revision": commit}
            self._emit("agent_changed", name, {"agent": self.agent(name)})

    def redeployed(self, name: str, revision: str) -> None:
        """Let an agent have come up with an earlier state, which is a commit of its own."""
        self.deployed(name, f"{len(self.deployments):040}", f"Deploy {revision[:12]} again")

    def set_pull(self, ident: int, **facts: Any) -> None:
        """Open or change a pull request."""
        with self.changed:
            blank = {
                "id": ident, "repository": "org-shared/docs", "number": ident, "state": "open",
                "title": "a change", "author": "alice", "reviewers": [], "merged_by": None,
                "head": "change", "base": "main", "at": self.clock(), "comments": 0,
                "url": f"http://forge/org-shared/docs/pulls/{ident}",
            }  # fmt: skip
            row = {**(self.pulls.get(ident) or blank), "updated_at": self.clock(), **facts}
            row["closed_at"] = None if row["state"] == "open" else row["updated_at"]
            self.pulls[ident] = row
            self._emit("pull_request_changed", None, {"pull_request": dict(row)})

    def write_line(self, turn: int, kind: str, **data: Any) -> None:
        """Add a line to a turn's transcript; it is no event."""
        with self.changed:
            lines = self.lines.setdefault(turn, [])
            lines.append({"n": len(lines), "at": self.clock(), "kind": kind, "data": data})
            self.changed.notify_all()

    def _told(
        self, noun: str, step: str, row: Json, agent: str, actor: str = "system", **more: Any
    ) -> None:
        self._emit(f"{noun}_{step}", agent, {noun: dict(row), **more}, actor=actor)

    # What happens

    def add_agent(self, name: str, role: str = "worker", **facts: Any) -> None:
        """Declare an agent; one that had gone finds its state."""
        with self.changed:
            if self.tombstones.pop(name, None):
                self._emit("tombstone_revived", name, {})
            self.agents[name] = {
                "name": name, "role": role, "description": "", "declared": True,
                "driver": "scripted", "runtime": "process", "state": "ready", "reason": None,
                "since": self.clock(), "status": None, "status_at": None, "turn": None,
                "pauses": [], "held": None, "transient": None, "model": None,
                "declared_model": None, "context": None, "probe": None, "bytes": None, **facts,
            }  # fmt: skip
            self._emit("agent_added", name, {"agent": self.agent(name)})

    def change_agent(self, name: str, **facts: Any) -> None:
        """Declare an agent otherwise; the event tells nothing of its inbox and turn."""
        with self.changed:
            self.agents[name].update(facts)
            inbox = {"queued": 0, "leased": 0, "dead": 0}
            shape = {**self.agent(name), "inbox": inbox, "turn": None, "bytes": None}
            self._emit("agent_changed", name, {"agent": shape})

    def remove_agent(self, name: str) -> None:
        """Take an agent away; its messages and its state stay."""
        with self.changed:
            gone = self.agents.pop(name)
            self._emit("agent_removed", name, {})
            stone = {
                "name": name, "role": gone["role"], "description": gone["description"],
                "removed_at": self.clock(), "bytes": 12_345_678, "declared": gone["declared"],
            }  # fmt: skip
            self.tombstones[name] = stone
            self._emit("tombstone_added", name, {"tombstone": stone})

    def purge(self, name: str) -> None:
        """Delete what an agent left."""
        with self.changed:
            del self.tombstones[name]
            self._emit("tombstone_purged", name, {}, actor=OPERATOR)

    def hold(self, name: str) -> None:
        """Let the operator stop an agent."""
        with self.changed:
            held = {"by": OPERATOR, "at": self.clock()}
            self.agents[name]["held"] = held
            self._emit("agent_held", name, held, actor=OPERATOR)

    def unhold(self, name: str) -> None:
        """Let an agent run again."""
        with self.changed:
            self.agents[name]["held"] = None
            self._emit("agent_unheld", name, {}, actor=OPERATOR)

    def pause(
        self,
        name: str | None,
        cause: str = "operator",
        reason: str = "paused by the operator",
        until: float | None = None,
    ) -> None:
        """Pause an agent or (``None``) the hive; a pause of the same cause is replaced."""
        with self.changed:
            pause = {"cause": cause, "reason": reason, "since": self.clock(), "until": until}
            pauses = self._pauses(name)
            pauses[:] = [*(p for p in pauses if p["cause"] != cause), pause]
            kind = "hive_paused" if name is None else "agent_paused"
            self._emit(kind, name, {"pause": pause}, actor=OPERATOR)

    def resume(self, name: str | None, cause: str = "operator") -> None:
        """End a pause; nothing happens where there is none."""
        with self.changed:
            pauses = self._pauses(name)
            if any(pause["cause"] == cause for pause in pauses):
                pauses[:] = [pause for pause in pauses if pause["cause"] != cause]
                kind = "hive_resumed" if name is None else "agent_resumed"
                self._emit(kind, name, {"cause": cause}, actor=OPERATOR)

    def set_model(self, name: str, model: str | None) -> None:
        """Let an agent use another model."""
        with self.changed:
            self.agents[name]["model"] = model
            self._emit("agent_model_changed", name, {"model": model}, actor=OPERATOR)

    def measure(self, name: str, size: int) -> None:
        """Find out what an agent's files take."""
        with self.changed:
            self.agents[name]["bytes"] = size
            self._emit("agent_measured", name, {"bytes": size})

    def begin_day(self) -> None:
        """Count spending anew."""
        with self.changed:
            self.spent = 0.0
            self._emit("day_began", None, {"spent_today_usd": 0.0})

    def probe(self, name: str, differences: list[str], remarks: list[str]) -> None:
        """Let an agent's box say what it found out about itself."""
        with self.changed:
            facts = ["It runs as user 1000."]
            found = {"differences": differences, "remarks": remarks, "facts": facts}
            self.agents[name]["probe"] = found
            self._emit("box_probed", name, {"probe": found})

    def set_transient(self, name: str, action: str = "restarting") -> None:
        """Begin to do something to an agent."""
        with self.changed:
            self.agents[name]["transient"] = action
            self._emit("transient_set", name, {"action": action, "reason": "so it is"})

    def clear_transient(self, name: str) -> None:
        """End what is being done to an agent."""
        with self.changed:
            action = self.agents[name]["transient"]
            self.agents[name]["transient"] = None
            self._emit("transient_cleared", name, {"action": action})

    def set_rollout(self, **facts: Any) -> None:
        """Say how far a restart of all agents is; it begins if there is none."""
        with self.changed:
            names = sorted(self.agents, key=lambda n: (self.agents[n]["role"] != "manager", n))
            begun = {
                "id": self.seq + 1, "reason": "new broom", "manager": names[0], "order": names,
                "deadline": self.clock() + 60, "phase": "draining", "cut": [], "going": {},
                "restarted": [], "failed": {}, "waiting": names,
            }  # fmt: skip
            self.rollout = {**(self.rollout or begun), **facts}
            self._emit("rollout_changed", None, {"rollout": self.rollout})

    def set_plan(self, *actions: tuple[str, str]) -> None:
        """Say what is being done, to which agents."""
        with self.changed:
            self.plan = [
                {"action": verb, "agent": name, "reason": "so it is declared"}
                for verb, name in actions
            ]
            self._emit("plan_changed", None, {"plan": list(self.plan)})

    def end_rollout(self) -> None:
        """Finish a restart of all agents."""
        with self.changed:
            self.rollout = None
            self._emit("rollout_changed", None, {"rollout": None})

    def set_state(self, name: str, state: str, reason: str | None = None) -> None:
        """Put an agent in another state."""
        with self.changed:
            change = {"state": state, "reason": reason, "since": self.clock()}
            self.agents[name].update(change)
            self._emit("agent_state_changed", name, {**change, "session": None})

    def set_status(self, name: str, text: str | None) -> None:
        """Let an agent say what it is doing."""
        with self.changed:
            change = {"status": text, "status_at": self.clock()}
            self.agents[name].update(change)
            self._emit("agent_status_changed", name, change, actor=name)

    def start_turn(self, name: str, messages: list[int] | None = None) -> int:
        """Begin a turn of an agent."""
        with self.changed:
            self.turns += 1
            turn = {"id": self.turns, "started_at": self.clock()}
            self.agents[name]["turn"] = turn
            self.turn_rows[self.turns] = {
                **turn, "agent": name, "kind": "work", "model": None, "ended_at": None,
                "outcome": None, "error": None, "usage": {}, "context_tokens": None,
                "tools": {}, "messages": messages or [],
            }  # fmt: skip
            self._emit("turn_started", name, {**turn, "messages": messages or []}, actor=name)
            return self.turns

    def end_turn(
        self,
        name: str,
        outcome: str = "ok",
        cost: float | None = None,
        context: Json | None = None,
    ) -> None:
        """End the turn that an agent is in."""
        with self.changed:
            turn = self.agents[name]["turn"]
            self.agents[name]["turn"] = None
            ended = {"id": turn["id"], "outcome": outcome, "error": None, "ended_at": self.clock()}
            usage = None
            if cost is not None:
                self.spent += cost
                usage = {"input_tokens": 1, "output_tokens": 1, "cost_usd": cost}
            if context != self.agents[name]["context"]:
                self.agents[name]["context"] = context
                self._emit("agent_context_changed", name, {"context": context})
            told = {**ended, "usage": usage, "tools": {}}
            self.turn_rows[turn["id"]].update(ended, usage=usage or {})
            self._emit("turn_ended", name, told, actor=name)

    def send(self, sender: str, to: str, body: str, **facts: Any) -> int:
        """Accept a message."""
        with self.changed:
            self.last_id += 1
            at = self.clock()
            row = {
                "id": self.last_id, "from": sender, "to": to, "at": at,
                "in_reply_to": None, "broadcast": False, "attempts": 0,
                "state": "acked" if to == OPERATOR else "queued",
                "redelivered": False, "not_before": None, "reason": None, "body": body,
                "size": len(body.encode()), "read_at": None, **facts,
            }  # fmt: skip
            self.messages[self.last_id] = row
            self._emit("message_queued", to, {"message": shown(row)}, actor=sender, at=at)
            return self.last_id

    def lease(self, ident: int, turn: int | None = None) -> None:
        """Hand a message over."""
        self._step(ident, "message_leased", {"turn": turn}, state="leased")

    def ack(self, ident: int) -> None:
        """Take a message as handled."""
        self._step(ident, "message_acked", {}, state="acked")

    def release(self, ident: int, reason: str = "the turn failed", attempts: int = 1) -> None:
        """Give a leased message back, to be delivered again."""
        facts = {
            "attempts": self.messages[ident]["attempts"] + attempts,
            "redelivered": True,
            "not_before": self.clock() + 30 if attempts else None,
            "reason": reason,
        }
        told = {**facts, **self._beginning(ident)}
        self._step(ident, "message_released", told, state="queued", **facts)

    def die(self, ident: int, reason: str = "the turn failed") -> None:
        """Give a leased message up."""
        facts = {"attempts": self.messages[ident]["attempts"] + 1, "reason": reason}
        change = {"state": "dead", "redelivered": True, **facts}
        told = {**facts, "message": {**shown(self.messages[ident]), **change}}
        self._step(ident, "message_dead", told, **change)

    def _beginning(self, ident: int) -> Json:
        row = self.messages[ident]
        return {"at": row["at"], "preview": row["body"][:PREVIEW]}

    def requeue(self, ident: int) -> None:
        """Let a dead message start anew."""
        at = self.clock()
        anew = {"attempts": 0, "redelivered": True, "not_before": None}
        told = self._beginning(ident)
        self._step(ident, "message_requeued", told, OPERATOR, at, state="queued", **anew)

    def drop(self, ident: int) -> None:
        """Give a dead message up for good."""
        self._step(ident, "message_dropped", {}, OPERATOR, state="dropped")

    def withdraw(self, ident: int) -> None:
        """Take a message back that nobody has seen."""
        reason = f"withdrawn by {OPERATOR}"
        told = {"reason": reason}
        self._step(ident, "message_withdrawn", told, OPERATOR, state="dropped", reason=reason)

    def read(self, ident: int) -> None:
        """Mark a message of the operator's read; a second time changes nothing."""
        with self.changed:
            if self.messages[ident]["read_at"] is None:
                self.messages[ident]["read_at"] = at = self.clock()
                self._emit("message_read", OPERATOR, {"id": ident}, actor=OPERATOR, at=at)

    def raise_alert(
        self, key: str, text: str, severity: str = "warning", agent: str | None = None
    ) -> None:
        """Show the operator something that lasts."""
        with self.changed:
            alert = {"key": key, "severity": severity, "text": text, "agent": agent}
            at = self.clock()
            self.alerts[key] = {**alert, "raised_at": at}
            self._emit("alert_raised", agent, alert, at=at)

    def clear_alert(self, key: str) -> None:
        """End an alert."""
        with self.changed:
            del self.alerts[key]
            self._emit("alert_cleared", None, {"key": key})

    def change_limits(self, **limits: Any) -> None:
        """Declare other limits of the whole hive."""
        with self.changed:
            self.limits.update(limits)
            self._emit("hive_changed", None, {"limits": dict(self.limits)})

    def start(self, version: str) -> None:
        """Say that the hive has come back, as another version perhaps."""
        with self.changed:
            self.version, self.started_at = version, self.clock()
            told = {"version": version, "limits": dict(self.limits)}
            self._emit("hive_started", None, told, at=self.started_at)

    def stop(self) -> None:
        """Say that the hive goes down."""
        with self.changed:
            self._emit("hive_stopping", None, {})

    def restore(self) -> None:
        """Begin another history, as after a restored backup."""
        with self.changed:
            self.epoch += "'"
            self.events.clear()
            self.changed.notify_all()

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
