"""The life of real harness processes under one server: holds, restarts, reloads, dead loops."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from hyperhive import bootstrap, config
from hyperhive.bootstrap import HARNESS, Patience, Running
from hyperhive.domain.instances import Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes.clocks import SystemClock
from hyperhive.runtimes.process import ProcessRuntime
from hyperhive.store import Row, alerts
from hyperhive.store import agents as rows
from hyperhive.surfaces.http import harness as harness_endpoint
from tests.faults.hives import is_alive
from tests.pace import on_this_machine
from tests.surfaces.hives import PATIENCE_SECONDS, Operator, until

pytestmark = pytest.mark.anyio

LONG: Final = '[[rule]]\non = { body_contains = "long" }\nstep = [{ pause = 50.0 }]\n'
"""A script: what asks for something long takes longer than any test."""
PATIENT: Final = Patience(stall=60.0, hello=60.0, look=0.5)


def quick() -> Patience:
    """Give a patience that is over soon, as far as this machine lets anybody be quick."""
    return Patience(stall=on_this_machine(2.5), hello=on_this_machine(4.0), look=0.2)


DEAD_LOOP: Final = '''
"""A harness whose loop ends when the file named by MARK appears, while its process stays."""
import asyncio, os, pathlib, sys
from hyperhive.harness.box import Box
from hyperhive.harness.loop import Harness
from hyperhive.harness.probing import Probing
from hyperhive.harness.watchdog import Watchdog

async def main():
    box = Box.from_environment(os.environ)
    mark = pathlib.Path(sys.argv[1]) / os.environ["HYPERHIVE_AGENT"]
    harness = Harness(box, Watchdog.from_environment(), Probing(box.environment))
    loop = asyncio.create_task(harness.run())
    while not mark.exists():
        await asyncio.sleep(0.02)
    # Only one incarnation is to end so; what keeps the connection outlives the loop, or not.
    if mark.read_text() == "connected":
        kept, harness._keeper = harness._keeper, None
    mark.unlink()
    loop.cancel()
    await asyncio.Event().wait()

asyncio.run(main())
'''


class Place:
    """A hive's directory and its declaration, which a test edits as an operator does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "hive.toml"
        self.marks = directory / "marks"
        self.marks.mkdir()
        self.ready_seconds = 20.0
        (directory / "long.toml").write_text(LONG)
        self.declare()

    def declare(self, *gone: str, **settings: str) -> None:
        """Write the declaration: queen, alice and bob, with lines for their drivers."""
        lines = [
            f'stateDir = "{self.directory}/s"',
            f'runDir = "{self.directory}/r"',
            "operator = { port = 0 }",
            "[restart.rollout]",
            "drainSeconds = 1.0",
            f"managerReadySeconds = {self.ready_seconds}",
        ]
        for name in {"queen", "alice", "bob"} - set(gone):
            lines += [
                f"[agents.{name}]",
                f'role = "{"manager" if name == "queen" else "worker"}"',
                f"[agents.{name}.driver]",
                'kind = "scripted"',
                'script = "long.toml"',
                settings.get(name, ""),
            ]
        text = "\n".join(lines) + "\n"
        # At once, as an editor does it, so that nobody reads half a file.
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def end_loop(self, agent: str, how: str) -> None:
        """Have the loop of an agent's harness end, ``connected`` or ``silent``."""
        mark = self.marks / agent
        new = self.directory / f"{agent}.mark"
        new.write_text(how)
        new.replace(mark)


@pytest.fixture
def place() -> Iterator[Place]:
    # Short, because the path of a socket has room for 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="life-"))
    yield Place(directory)
    shutil.rmtree(directory)


class Life:
    """A hive that runs, seen from outside."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self.admin = Operator(run.listeners.admin_socket)

    async def row(self, name: str) -> Row | None:
        return await self.run.store.read(lambda asking: rows.find(asking, name))

    async def box(self, name: str) -> str | None:
        """Say which incarnation of an agent's box runs."""
        row = await self.row(name)
        return None if row is None else row.incarnation

    async def boxes(self) -> dict[str, str | None]:
        return {name: await self.box(name) for name in ("queen", "alice", "bob")}

    async def pid(self, name: str) -> int:
        assert self.run.reconciler is not None
        found = (await self.run.reconciler.observe())[name].pid
        assert found is not None
        return found

    async def reaches(self, name: str, *states: str, but: str | None = None) -> None:
        """Wait until an agent is in one of the states, in a box other than ``but``."""

        async def is_there() -> bool:
            row = await self.row(name)
            is_new = row is not None and row.incarnation is not None and row.incarnation != but
            at_rest = states == ("stopped",) or is_new
            return row is not None and row.state in states and at_rest

        await until(is_there)

    async def all_ready(self) -> dict[str, str | None]:
        for name in ("queen", "alice", "bob"):
            await self.reaches(name, "ready")
        return await self.boxes()

    async def message(self, number: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self.admin.get(f"/api/messages/{number}")
        return found

    async def is_acked(self, number: int) -> bool:
        return bool((await self.message(number))["state"] == "acked")

    async def alerts(self) -> dict[str, str]:
        found = await self.run.store.read(alerts.standing)
        return {alert["key"]: alert["text"] for alert in found}

    async def facts(self) -> list[dict[str, Any]]:
        """Give all that has happened, oldest first."""
        page = await self.admin.get("/dashboard/history?limit=500")
        return list(reversed(page["events"]))


@asynccontextmanager
async def alive(
    place: Place,
    *,
    patience: Patience = PATIENT,
    harness: tuple[str, ...] = HARNESS,
    stop_agents: bool = True,
) -> AsyncIterator[Life]:
    """Run the declared hive with its agents."""
    async with bootstrap.running(
        config.load(place.file),
        with_agents=True,
        source=place.file,
        harness=harness,
        patience=patience,
        stop_agents=stop_agents,
    ) as run:
        yield Life(run)


def first(facts: list[dict[str, Any]], kind: str, agent: str, state: str | None = None) -> int:
    """Say where in the log something happened to an agent first."""
    return next(
        n
        for n, fact in enumerate(facts)
        if (fact["kind"], fact["agent"]) == (kind, agent)
        and (state is None or fact["data"]["state"] == state)
    )


async def test_a_held_agent_is_stopped_and_stays_so_through_restarts_until_it_is_started(
    place: Place,
) -> None:
    async with alive(place) as hive:
        await hive.all_ready()
        pid = await hive.pid("alice")
        await hive.admin.post("/api/agents/alice/stop")
        await hive.reaches("alice", "stopped")
        await until(lambda: not is_alive(pid))
        queen = await hive.box("queen")
        await hive.admin.post("/api/hive/restart")
        await hive.reaches("queen", "ready", but=queen)
        await until(lambda: no_rollout(hive))
        assert await hive.box("alice") is None
    async with alive(place) as hive:
        await hive.reaches("bob", "ready")
        assert await hive.box("alice") is None
        number = await hive.admin.send("alice")

        await hive.admin.post("/api/agents/alice/start")

        await until(lambda: hive.is_acked(number))


async def no_rollout(hive: Life) -> bool:
    return (await hive.admin.get("/api/state"))["hive"]["rollout"] is None


async def test_a_restart_of_all_is_in_order_and_what_it_cut_comes_back_uncounted(
    place: Place,
) -> None:
    async with alive(place) as hive:
        before = await hive.all_ready()
        number = await hive.admin.send("alice", "something long")
        await hive.reaches("alice", "busy")
        began = (await hive.admin.get("/api/state"))["seq"]
        await hive.admin.post("/api/hive/restart", {"reason": "a rebuild"})
        await until(lambda: no_rollout(hive))
        for name in before:
            await hive.reaches(name, "ready", "busy", but=before[name])
        await hive.reaches("alice", "busy", but=before["alice"])

        facts = [fact for fact in await hive.facts() if fact["seq"] > began]
        ready = first(facts, "agent_state_changed", "queen", "ready")
        told = next(
            n
            for n, fact in enumerate(facts)
            if fact["kind"] == "message_queued"
            and fact["data"]["message"]["preview"].startswith("hive_restarting")
        )
        others = [first(facts, "agent_state_changed", n, "starting") for n in ("alice", "bob")]
        assert ready < told < min(others)
        message = await hive.message(number)
        assert (message["state"], message["attempts"]) == ("leased", 0)
        assert message["redelivered"]
        cut = next(f for f in facts if f["kind"] == "turn_ended" and f["agent"] == "alice")
        assert cut["data"]["outcome"] == "drained"


async def test_agents_whose_boxes_went_with_the_server_come_back_in_order_and_are_told(
    place: Place,
) -> None:
    async with alive(place, stop_agents=False) as hive:
        before = await hive.all_ready()
        pids = [await hive.pid(name) for name in before]
        seq = len(await hive.facts())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    async with alive(place) as hive:
        for name, box in before.items():
            await hive.reaches(name, "ready", "busy", but=box)
        await until(lambda: no_rollout(hive))
        facts = (await hive.facts())[seq:]

    told = [
        n
        for n, fact in enumerate(facts)
        if (fact["kind"], fact["agent"]) == ("message_queued", "queen")
    ]
    assert len(told) == 2
    assert first(facts, "agent_state_changed", "queen", "ready") < told[0]
    for name in ("alice", "bob"):
        assert told[0] < first(facts, "agent_state_changed", name, "ready") < told[1]


async def test_another_model_in_the_declaration_restarts_that_agent_only(place: Place) -> None:
    async with alive(place) as hive:
        before = await hive.all_ready()
        place.declare(alice='model = "large"')
        await hive.reaches("alice", "ready", but=before["alice"])

        after = await hive.boxes()
        assert {name for name in before if before[name] != after[name]} == {"alice"}
        plan = await hive.admin.get("/api/plan")
        assert plan["actions"] == []


async def test_a_declaration_that_is_wrong_is_an_alert_and_changes_nothing(place: Place) -> None:
    async with alive(place) as hive:
        before = await hive.all_ready()
        right = place.file.read_text()
        unknown = right.replace('kind = "scripted"', 'kind = "no such"')
        moved = right.replace('/s"', '/elsewhere"')
        for wrong in ("[agents", unknown, moved):
            place.file.write_text(wrong)
            refused = await hive.admin.ask("POST", "/api/apply", data={})
            assert 400 <= refused.status < 500
            assert "declaration" in await hive.alerts()
        place.declare()

        await until(lambda: has_no_alert(hive, "declaration"))
        assert await hive.boxes() == before


async def has_no_alert(hive: Life, key: str) -> bool:
    return key not in await hive.alerts()


async def test_an_agent_that_leaves_the_declaration_keeps_its_state_until_it_is_purged(
    place: Place,
) -> None:
    async with alive(place) as hive:
        await hive.all_ready()
        pid = await hive.pid("bob")
        kept = place.directory / "s" / "agents" / "bob" / "state" / "notes"
        kept.write_text("mine")
        place.declare("bob")
        await until(lambda: not is_alive(pid))
        state = await hive.admin.get("/api/state")
        assert [each["name"] for each in state["tombstones"]] == ["bob"]
        assert [each["name"] for each in state["agents"]] == ["alice", "queen"]
        assert kept.read_text() == "mine"

        # Revived, it is as it was; gone again and purged, nothing of it is left.
        place.declare()
        await hive.reaches("bob", "ready")
        number = await hive.admin.send("bob")
        await until(lambda: hive.is_acked(number))
        assert kept.read_text() == "mine"
        place.declare("bob")
        await until(lambda: is_gone(hive, "bob"))
        await hive.admin.post("/api/tombstones/bob/purge")
        assert not kept.parent.parent.exists()
        assert (await hive.admin.get("/api/state"))["tombstones"] == []

        place.declare()
        await hive.reaches("bob", "ready")
        assert not kept.exists()


async def is_gone(hive: Life, name: str) -> bool:
    state = await hive.admin.get("/api/state")
    assert hive.run.reconciler is not None
    observed = await hive.run.reconciler.observe()
    return name in {each["name"] for each in state["tombstones"]} and name not in observed


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the harnesses of this server tell four times a second that they live."""
    monkeypatch.setattr(harness_endpoint, "HEARTBEAT_SECONDS", 0.25)


def dying(place: Place) -> tuple[str, ...]:
    program = place.directory / "dead_loop.py"
    program.write_text(DEAD_LOOP)
    return (sys.executable, "-P", str(program), str(place.marks))


@pytest.mark.parametrize("how", ["connected", "silent"])
async def test_a_harness_whose_loop_has_ended_is_found_restarted_and_told_of(
    place: Place, quick_beats: None, how: str
) -> None:
    async with alive(place, patience=quick(), harness=dying(place)) as hive:
        before = await hive.all_ready()
        long = await hive.admin.send("alice", "something long")
        await hive.reaches("alice", "busy")
        pid = await hive.pid("alice")
        place.end_loop("alice", how)
        await until(lambda: is_taken(place, "alice"))
        number = await hive.admin.send("alice", "and this")
        assert is_alive(pid)

        await hive.reaches("alice", "busy", but=before["alice"])

        assert "stalled:alice" in await hive.alerts()
        assert (await hive.message(long))["redelivered"]
        after = await hive.boxes()
        assert {name for name in before if before[name] != after[name]} == {"alice"}
        await until(lambda: not is_alive(pid))
        assert (await hive.message(number))["state"] == "queued"


async def test_loops_that_end_before_and_during_a_restart_are_found_and_their_mail_arrives(
    place: Place, quick_beats: None
) -> None:
    place.ready_seconds = 6.0
    place.declare()
    async with alive(place, patience=quick(), harness=dying(place)) as hive:
        before = await hive.all_ready()
        place.end_loop("bob", "silent")
        await until(lambda: is_taken(place, "bob"))
        # This one is for the box that the restart makes: it never says hello.
        place.end_loop("bob", "silent")
        await hive.admin.post("/api/hive/restart", {"reason": "a rebuild"})
        number = await hive.admin.send("bob", "are you there?")
        await until(lambda: no_rollout(hive))
        assert is_taken(place, "bob")
        digest = next(
            fact["data"]["message"]["preview"]
            for fact in reversed(await hive.facts())
            if fact["kind"] == "message_queued" and fact["agent"] == "queen"
        )
        assert digest.startswith("hive_restarted")
        assert '"bob"' in digest.partition("failed")[2]

        await until(lambda: hive.is_acked(number))

        assert await hive.box("bob") != before["bob"]
        assert (await hive.message(number))["attempts"] == 0


def is_taken(place: Place, agent: str) -> bool:
    return not (place.marks / agent).exists()


async def test_a_look_whose_notes_are_from_the_middle_of_a_launch_sees_the_box_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = config.load(place.file)
    paths = HivePaths(hive.state_dir, hive.run_dir)
    runtime = ProcessRuntime(paths, SystemClock(), operator="127.0.0.1:1")
    await runtime.start(bootstrap.box_specs(hive)["alice"])
    ((record, _),) = runtime._survey()
    with monkeypatch.context() as then:
        then.setattr(runtime, "_survey", lambda: [(replace(record, pid=0), False)])
        async with asyncio.timeout(PATIENCE_SECONDS):
            seen = await runtime.observe()
    await runtime.stop("alice", 5.0)
    runtime.close()

    assert seen["alice"].phase is Phase.RUNNING
    assert seen["alice"].incarnation == record.incarnation
