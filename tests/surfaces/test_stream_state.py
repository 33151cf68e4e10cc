"""A snapshot and the events after it are a later snapshot: checked under load, event by event.

The reducer here is written from the words of the API alone. What it cannot derive from the
events, no client can.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ManualClock, a_hive
from tests.folding import folded_by_node, project
from tests.promises import promise
from tests.surfaces.hives import Box, Whole, a_harness, a_whole_hive, started

pytestmark = pytest.mark.anyio

State = dict[str, Any]
LATEST = 200
LEAVES = {
    "message_leased": ("queued", "leased"),
    "message_acked": ("leased", "acked"),
    "message_released": ("leased", "queued"),
    "message_dead": ("leased", "dead"),
    "message_requeued": ("dead", "queued"),
    "message_dropped": ("dead", "dropped"),
    "message_withdrawn": ("queued", "dropped"),
}


class Client:
    """What a page knows: one snapshot, and every event that it was told since."""

    def __init__(self, snapshot: State) -> None:
        self.seq = int(snapshot["seq"])
        self.rest = {key: snapshot[key] for key in ("epoch", "hive", "plan", "forge")}
        self.agents = {agent["name"]: agent for agent in snapshot["agents"]}
        self.messages = {message["id"]: message for message in snapshot["messages"]}
        self.messages |= {message["id"]: message for message in snapshot["dead"]}
        self.alerts = {alert["key"]: alert for alert in snapshot["alerts"]}
        self.tombstones = {each["name"]: each for each in snapshot["tombstones"]}
        self.approvals = {each["id"]: each for each in snapshot["approvals"]}
        self.questions = {each["id"]: each for each in snapshot["questions"]}
        self.reminders = {each["id"]: each for each in snapshot["reminders"]["rows"]}
        self.unread = int(snapshot["operator"]["unread"])

    def apply(self, event: State) -> None:
        """Take in the next event; none may be missing and none may come twice."""
        assert event["seq"] == self.seq + 1
        self.seq = event["seq"]
        kind, data, name = event["kind"], event["data"], event["agent"]
        if kind == "message_queued":
            message = data["message"]
            self.messages[message["id"]] = message
            self._count(message["to"], None, message["state"])
            self.unread += message["to"] == "operator"
        elif kind in LEAVES:
            left, entered = LEAVES[kind]
            self._count(data["to"], left, entered)
            self._change(data["id"], state=entered, **_changes(kind, data))
        elif kind.startswith("reminder_"):
            known = self.reminders.get(data["reminder"]["id"])
            assert data.get("was") == (known and known["state"])
            self.reminders[data["reminder"]["id"]] = data["reminder"]
        elif kind == "message_read":
            self._change(data["id"], read_at=event["at"])
            self.unread -= 1
        elif kind.startswith("question_"):
            self.questions[data["question"]["id"]] = data["question"]
        elif kind == "pull_request_changed":
            self.rest["forge"] = _with_pull(self.rest["forge"], data["pull_request"])
        elif kind == "forge_changed":
            self.rest["forge"] = self.rest["forge"] | data["forge"]
        elif kind in {"agent_added", "agent_changed"}:
            known = self.agents.get(name, {})
            kept = {key: known[key] for key in ("inbox", "turn") if key in known}
            self.agents[name] = data["agent"] | kept
        elif kind == "agent_removed":
            del self.agents[name]
        elif kind in _OF_AGENTS:
            self._agent(name, **_OF_AGENTS[kind](self.agents.get(name, {}), data))
        elif kind == "hive_paused":
            self._hive(pauses=_paused(self.rest["hive"]["pauses"], data["pause"]))
        elif kind == "hive_resumed":
            self._hive(pauses=_resumed(self.rest["hive"]["pauses"], data["cause"]))
        elif kind == "day_began":
            self._hive(spent_today_usd=data["spent_today_usd"])
        elif kind == "rollout_changed":
            self._hive(rollout=data["rollout"])
        elif kind == "tombstone_added":
            self.tombstones[name] = data["tombstone"]
        elif kind in {"tombstone_revived", "tombstone_purged"}:
            del self.tombstones[name]
        elif kind == "agent_state_changed":
            self._agent(name, **{key: data[key] for key in ("state", "reason", "since")})
        elif kind == "agent_status_changed":
            self._agent(name, status=data["status"], status_at=data["status_at"])
        elif kind == "turn_started":
            self._agent(name, turn={"id": data["id"], "started_at": data["started_at"]})
        elif kind == "turn_ended":
            self._agent(name, turn=None)
            cost = data["usage"].get("cost_usd") or 0.0
            self._hive(spent_today_usd=self.rest["hive"]["spent_today_usd"] + cost)
        elif kind == "alert_raised":
            self.alerts[data["key"]] = data
        elif kind == "alert_cleared":
            del self.alerts[data["key"]]
        elif kind in {"approval_added", "approval_changed", "approval_resolved"}:
            self.approvals[data["approval"]["id"]] = data["approval"]
        elif kind == "hive_started":
            told = {key: data[key] for key in ("version", "limits")}
            self._hive(**told, started_at=event["at"])
        elif kind == "plan_changed":
            self.rest["plan"] = data["plan"]
        elif kind == "hive_changed":
            self._hive(limits=data["limits"])
        else:
            assert kind == "hive_stopping", kind

    def shown(self) -> State:
        """Give what a snapshot at this position must say."""
        by_id = [self.messages[number] for number in sorted(self.messages)]
        return {
            **self.rest,
            "seq": self.seq,
            "agents": [self.agents[name] for name in sorted(self.agents)],
            "messages": by_id[-LATEST:],
            "dead": [message for message in by_id if message["state"] == "dead"],
            "approvals": _in_sight(self.approvals.values()),
            "questions": _in_sight(self.questions.values()),
            "reminders": _reminders(self.reminders.values()),
            "operator": {"unread": self.unread},
            "alerts": sorted(self.alerts.values(), key=lambda a: (a["raised_at"], a["key"])),
            "tombstones": [self.tombstones[name] for name in sorted(self.tombstones)],
        }

    def _agent(self, name: str, **changes: Any) -> None:
        # Of an agent that is gone there are events, too: its box is still being cleared away.
        if name in self.agents:
            self.agents[name] = self.agents[name] | changes

    def _hive(self, **changes: Any) -> None:
        self.rest["hive"] = self.rest["hive"] | changes

    def _change(self, number: int, **changes: Any) -> None:
        self.messages[number] = self.messages[number] | changes

    def _count(self, to: str, left: str | None, entered: str) -> None:
        if to not in self.agents:
            return
        inbox = dict(self.agents[to]["inbox"])
        if left in inbox:
            inbox[left] -= 1
        if entered in inbox:
            inbox[entered] += 1
        self._agent(to, inbox=inbox)


def _in_sight(questions: Iterable[State]) -> list[State]:
    """Keep the open ones and the 50 that were closed last."""
    closed = [each for each in questions if each["closed_at"] is not None]
    closed.sort(key=lambda each: (each["closed_at"], each["id"]))
    kept = [each for each in questions if each["closed_at"] is None] + closed[-50:]
    return sorted(kept, key=lambda each: int(each["id"]))


def _reminders(known: Iterable[State]) -> State:
    """Give the pending ones by their time, then the failed ones from the newest on, counted."""
    pending = [each for each in known if each["state"] == "pending"]
    failed = [each for each in known if each["state"] == "failed"]
    counts: State = {}
    for each in (*pending, *failed):
        counted = counts.setdefault(each["agent"], {"pending": 0, "failed": 0})
        counted[each["state"]] += 1
    pending.sort(key=lambda each: (each["next_at"], each["id"]))
    failed.sort(key=lambda each: -int(each["id"]))
    return {"counts": counts, "rows": [*pending[:200], *failed[:200]]}


def _with_pull(forge: State, pull: State) -> State:
    """Put a pull request in place of what was known of it."""
    known = [each for each in forge["pull_requests"] if each["id"] != pull["id"]]
    return {**forge, "pull_requests": _in_sight([*known, pull])}


def _paused(pauses: list[State], pause: State) -> list[State]:
    return [*_resumed(pauses, pause["cause"]), pause]


def _resumed(pauses: list[State], cause: str) -> list[State]:
    return [each for each in pauses if each["cause"] != cause]


_OF_AGENTS: dict[str, Callable[[State, State], State]] = {
    "agent_held": lambda _, data: {"held": data},
    "agent_unheld": lambda _, data: {"held": None},
    "agent_paused": lambda old, data: {"pauses": _paused(old.get("pauses", []), data["pause"])},
    "agent_resumed": lambda old, data: {"pauses": _resumed(old.get("pauses", []), data["cause"])},
    "agent_model_changed": lambda _, data: {"model": data["model"]},
    "agent_context_changed": lambda _, data: {"context": data["context"]},
    "transient_set": lambda _, data: {"transient": data["action"]},
    "transient_cleared": lambda _, data: {"transient": None},
    "box_probed": lambda _, data: {"probe": data["probe"]},
    "agent_measured": lambda _, data: {"bytes": data["bytes"]},
}
"""What an event changes in the agent it is about."""


_AGAIN = ("at", "preview", "redelivered")
"""What is told of a message that is queued again, besides how that came."""


def _changes(kind: str, data: State) -> State:
    """Say what else a step changes in a message."""
    if kind == "message_released":
        return {key: data[key] for key in (*_AGAIN, "attempts", "not_before", "reason")}
    if kind == "message_dead":
        return {"attempts": data["attempts"], "reason": data["reason"]}
    if kind == "message_withdrawn":
        return {"reason": data["reason"]}
    if kind == "message_requeued":
        beginning = {key: data[key] for key in ("at", "preview")}
        return {**beginning, "attempts": 0, "redelivered": True, "not_before": None}
    return {}


def without_time(snapshot: State) -> State:
    """Leave out when the snapshot was taken, which no event tells."""
    return {key: value for key, value in snapshot.items() if key != "at"}


async def followed(hive: Whole, snapshots: list[State]) -> list[State]:
    """Check every later snapshot against the first one and the events in between; give those."""
    client = Client(snapshots[0])
    later = sorted(snapshots[1:], key=lambda snapshot: int(snapshot["seq"]))
    async with hive.admin.live(f"?after={client.seq}&epoch={client.rest['epoch']}") as live:
        events = await live.until(later[-1]["seq"]) if later[-1]["seq"] > client.seq else []
    told = iter(events)
    for snapshot in later:
        while client.seq < snapshot["seq"]:
            client.apply(next(told))
        assert client.shown() == without_time(snapshot)
    return events


def follow_on_the_page(place: Path, snapshots: list[State], events: list[State]) -> None:
    """Check the same with what the page makes of the events; threads are listed, not snapped."""
    first = int(snapshots[0]["seq"])
    later = {int(snapshot["seq"]): snapshot for snapshot in snapshots if snapshot["seq"] > first}
    place.mkdir()
    states = folded_by_node(place, snapshots[0], events, list(later), LATEST)
    assert [state["seq"] for state in states] == sorted(later)
    for state in states:
        assert {**state, "threads": []} == project(later[state["seq"]])


class Load:
    """Agents at work in every way at once, from a seed."""

    def __init__(self, hive: Whole, clock: ManualClock, seed: int) -> None:
        self.hive = hive
        self.clock = clock
        self.chance = random.Random(seed)
        self.over = False

    async def run(self) -> list[State]:
        """Take snapshots while everybody works; the first one before, the last one after."""
        snapshots = [await self.hive.admin.get("/api/state")]
        workers = [self._talk(), self._watch(snapshots), self._operate(), self._wonder()]
        workers += [self._work(self.hive.box(name), f"{name}-00001") for name in ("alice", "bob")]
        workers += [self._by_hand(self.hive.box("queen"))]
        await asyncio.gather(*workers)
        return [*snapshots, await self.hive.admin.get("/api/state")]

    async def _talk(self) -> None:
        names = ["queen", "alice", "bob", "operator", "*", "manager"]
        for n in range(50):
            box = self.hive.box(self.chance.choice(names[:3]))
            to = self.chance.choice(names)
            await box.call("send", to=to, body=f"{n} from {box.name} " * self.chance.randint(1, 40))
            if n % 10 == 0:
                await box.call("set_status", text=f"at {n}")
        self.over = True

    async def _wonder(self) -> None:
        asked: list[int] = []
        while not self.over:
            box = self.hive.box(self.chance.choice(["alice", "bob"]))
            ttl = self.chance.choice([None, 30.0])
            to = self.chance.choice(["operator", "queen"])
            called = await box.call("ask", question="Which?", to=to, ttl_seconds=ttl)
            if called.refusal is None:
                asked.append(called.result["id"])
            if asked:
                number = self.chance.choice(asked)
                verb = self.chance.choice(["answer", "cancel"])
                data = {"answer": "this one"} if verb == "answer" else {}
                await self.hive.admin.ask("POST", f"/api/questions/{number}/{verb}", data=data)
            await self.hive.run.questions.expire_due()

    async def _work(self, box: Box, session: str) -> None:
        outcomes = ["ok", "ok", "failed", "failed", "timed_out", "rate_limited", "needs_login"]
        while not self.over:
            # Leaving the block without an end is the death of a harness.
            async with a_harness(box, session):
                for _ in range(4):
                    offered = await box.harness("work", session=session, wait_seconds=0.05)
                    turn = offered.json()["turn"]
                    if turn is None:
                        continue
                    await box.harness(f"turns/{turn['id']}/begin", session=session)
                    got = await box.call("recv", max=2, turn=turn["id"])
                    if got.delivery is not None and self.chance.random() < 0.5:
                        await box.confirm(got.delivery)
                    if self.chance.random() < 0.2:
                        break
                    outcome = self.chance.choice(outcomes)
                    end: State = {"session": session, "outcome": outcome}
                    end["error"] = f"was {outcome}"
                    if self.chance.random() < 0.5:
                        end["context"] = {"tokens": self.chance.randint(1, 100), "window": 100}
                    await box.harness(f"turns/{turn['id']}/end", **end)

    async def _by_hand(self, box: Box) -> None:
        while not self.over:
            got = await box.call("recv", max=3, wait_seconds=0.05)
            ids = [message["id"] for message in got.result["messages"]]
            if ids and self.chance.random() < 0.8:
                await box.call("ack", ids=ids)
            if self.chance.random() < 0.3:
                await self.hive.run.messages.release_overdue()

    async def _operate(self) -> None:
        while not self.over:
            self.clock.advance(self.chance.choice([1, 40, 700, 950]))
            if self.chance.random() < 0.3:
                to = self.chance.choice(["alice", "manager", "*"])
                await self.hive.admin.post("/api/messages", {"to": to, "body": "and now?"})
            if self.chance.random() < 0.3:
                await self._direct()
            state = await self.hive.admin.get("/api/state")
            for message in state["dead"]:
                verb = self.chance.choice(["requeue", "drop", ""])
                if verb:
                    await self.hive.admin.post(f"/api/messages/{message['id']}/{verb}")
            for message in state["messages"]:
                if message["state"] == "queued" and self.chance.random() < 0.1:
                    # Whoever has seen it meanwhile keeps it.
                    target = f"/api/threads/message/{message['id']}/cancel"
                    await self.hive.admin.ask("POST", target, data={})
                mine = message["to"] == "operator" and message["read_at"] is None
                if mine and self.chance.random() < 0.5:
                    await self.hive.admin.post(f"/api/messages/{message['id']}/read")

    async def _direct(self) -> None:
        where = f"/api/agents/{self.chance.choice(['alice', 'bob'])}"
        verb = self.chance.choice(["pause", "stop", "new-session", "compact", "model", "hive"])
        if verb == "hive":
            await self.hive.admin.post("/api/hive/pause", {"reason": "a look"})
            await self.hive.admin.post("/api/hive/resume")
            return
        body = {"model": self.chance.choice(["large", None])} if verb == "model" else {}
        await self.hive.admin.post(f"{where}/{verb}", body)
        for undo in ("start", "resume"):
            await self.hive.admin.post(f"{where}/{undo}")

    async def _watch(self, snapshots: list[State]) -> None:
        while not self.over:
            snapshots.append(await self.hive.admin.get("/api/state"))
            await asyncio.sleep(0.02)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock) as whole:
        yield whole


@promise("E1")
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_snapshot_and_its_events_are_every_later_snapshot(
    hive: Whole, clock: ManualClock, tmp_path: Path, seed: int
) -> None:
    snapshots = await Load(hive, clock, seed).run()

    events = await followed(hive, snapshots)
    follow_on_the_page(tmp_path / "page", snapshots, events)
    kinds = {
        event["kind"] for event in (await hive.admin.get("/dashboard/history?limit=500"))["events"]
    }
    assert {"message_released", "message_acked", "turn_ended", "agent_state_changed"} <= kinds
    assert {"question_added", "question_answered"} <= kinds


@promise("E1")
async def test_it_holds_through_the_death_and_the_second_life_of_a_message(
    hive: Whole, clock: ManualClock
) -> None:
    snapshots = [await hive.admin.get("/api/state")]
    number = await hive.admin.send("bob", "too hard")
    box = hive.box("bob")
    async with a_harness(box):
        for _ in range(5):
            turn = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
            await box.harness(f"turns/{turn['id']}/begin", session="session-1")
            await box.harness(f"turns/{turn['id']}/end", session="session-1", outcome="failed")
            snapshots.append(await hive.admin.get("/api/state"))
            clock.advance(700)
    assert snapshots[-1]["dead"]
    for verb in ("requeue",):
        await hive.admin.post(f"/api/messages/{number}/{verb}")
        snapshots.append(await hive.admin.get("/api/state"))
    await box.call("recv")
    await box.call("ack", ids=[number])
    snapshots.append(await hive.admin.get("/api/state"))

    await followed(hive, snapshots)


@promise("E1")
async def test_it_holds_through_a_restart_and_a_changed_declaration(tmp_path: Path) -> None:
    clock = ManualClock()
    run_dir = tmp_path / "r"
    async with started(a_hive(tmp_path / "state", run_dir), clock=clock) as hive:
        await hive.admin.send("alice")
        async with a_harness(hive.box("alice")):
            first = await hive.admin.get("/api/state")
        clock.advance(60)

    changed = a_hive(
        tmp_path / "state", run_dir, ("queen", "alice", "dora"), alice={"description": "new"}
    )
    async with started(changed, clock=clock) as hive:
        last = await hive.admin.get("/api/state")
        await followed(hive, [first, last])

    assert [agent["name"] for agent in last["agents"]] == ["alice", "dora", "queen"]
