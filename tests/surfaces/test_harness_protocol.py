"""The harness's part of an agent's socket: presence, work, turns, and who may speak for whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.services.briefing import briefing
from hyperhive.surfaces.http.harness import HarnessEndpoint
from tests.builders import ManualClock, a_hive
from tests.promises import promise
from tests.surfaces.hives import (
    PATIENCE_SECONDS,
    Box,
    Whole,
    Wire,
    a_harness,
    a_whole_hive,
    started,
    until,
)

pytestmark = pytest.mark.anyio

MESSAGE_KEYS = {
    "id", "from", "to", "at", "body", "in_reply_to", "broadcast", "attempt", "redelivered", "hint",
}  # fmt: skip


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock) as whole:
        yield whole


@pytest.fixture
def alice(hive: Whole) -> Box:
    return hive.box("alice")


async def work(box: Box, session: str = "session-1", wait_seconds: float = 5) -> Any:
    """Ask for work and give the turn, if there is one."""
    answer = await box.harness("work", session=session, wait_seconds=wait_seconds)
    assert answer.status == 200, answer
    return answer.json()["turn"]


async def begun(box: Box, session: str = "session-1") -> dict[str, Any]:
    """Take up the work that is there."""
    turn: dict[str, Any] = await work(box, session)
    answer = await box.harness(f"turns/{turn['id']}/begin", session=session)
    assert (answer.status, answer.json()) == (200, {})
    return turn


async def agent_of(hive: Whole, name: str) -> dict[str, Any]:
    """Give an agent as the snapshot shows it."""
    agents = (await hive.admin.get("/api/state"))["agents"]
    return next(agent for agent in agents if agent["name"] == name)


async def message_of(hive: Whole, number: int) -> dict[str, Any]:
    """Give a message as the operator sees it."""
    shown: dict[str, Any] = await hive.admin.get(f"/api/messages/{number}")
    return shown


async def shown_as(hive: Whole, name: str, state: str) -> None:
    """Wait until an agent is shown in a state."""

    async def is_shown() -> bool:
        return str((await agent_of(hive, name))["state"]) == state

    await until(is_shown)


async def test_a_harness_is_welcomed_with_all_that_it_needs(hive: Whole, alice: Box) -> None:
    async with a_harness(alice) as harness:
        welcome = harness.welcome

    assert welcome["type"] == "welcome"
    assert (welcome["agent"], welcome["role"], welcome["manager"]) == ("alice", "worker", "queen")
    assert (welcome["hive"], welcome["heartbeat_seconds"], welcome["turn"]) == ("hive", 10, None)
    assert welcome["driver"].keys() == {
        "kind", "command", "script", "model", "fallback_model", "extra_args", "turn_limit_seconds",
        "tools", "mcp_servers", "spend_usd", "permission_prompts",
    }  # fmt: skip
    assert "queen" in welcome["system_prompt"]
    assert hive.secret not in json.dumps(welcome)


async def test_its_connection_is_its_presence(hive: Whole, alice: Box) -> None:
    assert (await agent_of(hive, "alice"))["state"] == "stopped"
    async with a_harness(alice):
        assert (await agent_of(hive, "alice"))["state"] == "ready"

    await shown_as(hive, "alice", "starting")


async def test_what_its_box_is_like_may_be_told_after_the_hello(hive: Whole, alice: Box) -> None:
    async with a_harness(alice):
        assert (await agent_of(hive, "alice"))["probe"] is None
        told = await alice.harness("probe", session="session-1", probe={"version": 1})

        assert told.status == 200
        assert (await agent_of(hive, "alice"))["probe"]["runtime"] == "process"


@promise("H1")
async def test_an_empty_inbox_is_no_turn(hive: Whole, alice: Box) -> None:
    async with a_harness(alice):
        assert await work(alice, wait_seconds=0) is None

    assert (await hive.admin.get("/api/agents/alice/turns"))["turns"] == []


@promise("M3", "H1")
async def test_waiting_work_is_given_the_moment_it_arrives(hive: Whole, alice: Box) -> None:
    async with a_harness(alice):
        waiting = asyncio.create_task(work(alice, wait_seconds=100))
        await until(lambda: "inbox:alice" in hive.run.store.bus._watches)

        number = await hive.admin.send("alice")

        async with asyncio.timeout(PATIENCE_SECONDS):
            turn = await waiting
    assert [message["id"] for message in turn["messages"]] == [number]


@promise("H1", "H2")
async def test_a_turn_begins_with_the_oldest_message_and_says_how_many_wait(
    hive: Whole, alice: Box
) -> None:
    first = await hive.admin.send("alice", "one")
    for text in ("two", "three"):
        await hive.admin.send("alice", text)

    async with a_harness(alice):
        turn = await begun(alice)
        state = await agent_of(hive, "alice")

    (message,) = turn["messages"]
    assert message.keys() == MESSAGE_KEYS
    assert (message["id"], message["body"], message["from"]) == (first, "one", "operator")
    assert (message["attempt"], message["redelivered"], turn["waiting"]) == (1, False, 2)
    assert (state["state"], state["turn"]["id"]) == ("busy", turn["id"])


@promise("M5")
async def test_a_good_end_acks_the_turns_messages(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        turn = await begun(alice)
        end = {"session": "session-1", "outcome": "ok"}
        answers = [await alice.harness(f"turns/{turn['id']}/end", **end) for _ in range(2)]

    assert [answer.json() for answer in answers] == [{"outcome": "ok"}] * 2
    assert (await message_of(hive, number))["state"] == "acked"
    turns = (await hive.admin.get("/api/agents/alice/turns"))["turns"]
    assert [(shown["id"], shown["outcome"]) for shown in turns] == [(turn["id"], "ok")]


@promise("M6", "M8")
@pytest.mark.parametrize(
    ("outcome", "attempts", "state"),
    [
        ("failed", 1, "ready"),
        ("timed_out", 1, "ready"),
        ("cancelled", 0, "ready"),
        ("rate_limited", 0, "rate_limited"),
        ("needs_login", 0, "needs_login"),
    ],
)
async def test_any_other_end_gives_the_messages_back_at_once(
    hive: Whole, alice: Box, outcome: str, attempts: int, state: str
) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        turn = await begun(alice)
        end = {"session": "session-1", "outcome": outcome, "error": "because"}
        await alice.harness(f"turns/{turn['id']}/end", **end)

        message = await message_of(hive, number)
        shown = await agent_of(hive, "alice")
        await hive.admin.post("/api/agents/alice/resume")
        again = await work(alice)

    assert (message["state"], message["attempts"], message["reason"]) == (
        "queued",
        attempts,
        outcome,
    )
    assert (shown["state"], shown["turn"]) == (state, None)
    assert again["messages"][0]["redelivered"] is True
    assert again["messages"][0]["attempt"] == attempts + 1


@promise("M6", "M8")
async def test_a_lost_connection_in_mid_turn_gives_the_messages_back_at_once(
    hive: Whole, alice: Box
) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        await begun(alice)
        assert (await message_of(hive, number))["state"] == "leased"

    await shown_as(hive, "alice", "starting")
    message = await message_of(hive, number)
    assert (message["state"], message["attempts"], message["reason"]) == ("queued", 1, "died")


@promise("M6")
async def test_a_new_session_ends_the_turn_of_the_one_before(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice, "session-1") as first:
        turn = await begun(alice, "session-1")
        async with a_harness(alice, "session-2") as second:
            message = await message_of(hive, number)
            told_to_go = await first.command()
            late = await alice.harness(f"turns/{turn['id']}/end", session="session-1", outcome="ok")
            again = await work(alice, "session-2")

    assert second.welcome["turn"] is None
    assert message["state"] == "queued"
    assert told_to_go is None
    assert late.status == 409
    assert again["messages"][0]["redelivered"] is True


@promise("M6")
async def test_the_end_of_a_replaced_connection_ends_nothing_of_its_successor(
    hive: Whole, alice: Box
) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice, "session-2"):
        async with a_harness(alice, "session-1"):
            pass
        async with a_harness(alice, "session-3"):
            await begun(alice, "session-3")
            await until(lambda: hive.run.sessions.of("alice") is not None)

            assert (await message_of(hive, number))["state"] == "leased"


@promise("M13")
async def test_a_turn_of_a_session_that_comes_back_after_a_restart_goes_on(tmp_path: Path) -> None:
    declared = a_hive(tmp_path / "state", tmp_path / "r")
    async with started(declared) as hive:
        number = await hive.admin.send("alice")
        harness = a_harness(hive.box("alice"))
        await harness.__aenter__()
        turn = await begun(hive.box("alice"))
    await harness.__aexit__(None, None, None)

    async with started(declared) as hive:
        alice = hive.box("alice")
        assert (await message_of(hive, number))["state"] == "leased"
        async with a_harness(alice) as again:
            await alice.harness(f"turns/{turn['id']}/end", session="session-1", outcome="ok")

            assert again.welcome["turn"] == turn["id"]
            assert (await message_of(hive, number))["state"] == "acked"


@promise("M13", "M8")
async def test_a_turn_whose_harness_comes_back_as_another_costs_no_attempt(tmp_path: Path) -> None:
    declared = a_hive(tmp_path / "state", tmp_path / "r")
    async with started(declared) as hive:
        number = await hive.admin.send("alice")
        harness = a_harness(hive.box("alice"))
        await harness.__aenter__()
        await begun(hive.box("alice"))
    await harness.__aexit__(None, None, None)

    async with started(declared) as hive, a_harness(hive.box("alice"), "session-2") as again:
        message = await message_of(hive, number)
        assert again.welcome["turn"] is None
        assert (message["state"], message["attempts"]) == ("queued", 0)


@promise("H1")
async def test_who_asks_for_work_has_no_turn(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        first = await begun(alice)
        second = await work(alice)
        refused = await alice.harness(f"turns/{first['id']}/end", session="session-1", outcome="ok")

    assert second["messages"][0]["id"] == number
    assert second["messages"][0]["attempt"] == 2
    assert (refused.status, refused.json()["code"]) == (409, "turn_over")


async def test_a_turn_that_was_never_begun_is_nowhere_told_of(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        await work(alice)
        again = await work(alice)

    assert again["messages"][0]["id"] == number
    assert (await hive.admin.get("/api/agents/alice/turns"))["turns"] == []
    kinds = [event["kind"] for event in (await hive.admin.get("/dashboard/history"))["events"]]
    assert "turn_started" not in kinds


@promise("I1")
async def test_another_agents_session_is_useless(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    await hive.admin.send("bob")
    bob = hive.box("bob")
    async with a_harness(alice, "session-of-alice"):
        turn = await begun(alice, "session-of-alice")
        steps: dict[str, dict[str, Any]] = {
            "work": {"wait_seconds": 0},
            "heartbeat": {},
            "probe": {"probe": {}},
            f"turns/{turn['id']}/begin": {},
            f"turns/{turn['id']}/end": {"outcome": "ok"},
            f"turns/{turn['id']}/events": {"events": []},
        }
        for step, body in steps.items():
            answer = await bob.harness(step, session="session-of-alice", **body)
            assert answer.status == 409, step
            assert answer.json()["code"] in {"session_unknown", "turn_over"}

        assert (await message_of(hive, number))["state"] == "leased"
        assert (await agent_of(hive, "bob"))["state"] == "stopped"


@promise("I1")
async def test_the_same_session_name_on_two_sockets_is_two_sessions(
    hive: Whole, alice: Box
) -> None:
    bob = hive.box("bob")
    number = await hive.admin.send("alice")
    async with a_harness(alice, "same-name"):
        turn = await begun(alice, "same-name")
        async with a_harness(bob, "same-name") as other:
            assert other.welcome["turn"] is None
            for step in ("begin", "end", "events"):
                body: dict[str, Any] = {"session": "same-name"}
                body |= {"outcome": "failed"} if step == "end" else {}
                body |= {"events": []} if step == "events" else {}
                answer = await bob.harness(f"turns/{turn['id']}/{step}", **body)
                assert (answer.status, answer.json()["code"]) == (409, "turn_over")

            assert (await message_of(hive, number))["state"] == "leased"


async def test_a_session_that_never_said_hello_is_told_to(alice: Box) -> None:
    steps: dict[str, dict[str, Any]] = {
        "work": {"wait_seconds": 0}, "heartbeat": {}, "probe": {"probe": {}},
    }  # fmt: skip
    for step, body in steps.items():
        answer = await alice.harness(step, session="never-said", **body)

        assert (answer.status, answer.json()["code"]) == (409, "session_unknown")
        assert answer.json()["remedy"] == "Say hello first."


async def test_a_turn_after_its_end_is_over(hive: Whole, alice: Box) -> None:
    await hive.admin.send("alice")
    async with a_harness(alice):
        turn = await begun(alice)
        await alice.harness(f"turns/{turn['id']}/end", session="session-1", outcome="ok")

        begin = await alice.harness(f"turns/{turn['id']}/begin", session="session-1")
        other = await alice.harness(
            f"turns/{turn['id']}/end", session="session-1", outcome="failed"
        )

    assert (begin.status, begin.json()["code"]) == (409, "turn_over")
    assert (other.status, other.json()["code"]) == (409, "turn_over")


async def test_a_transcript_is_kept_once_whatever_is_sent_again(hive: Whole, alice: Box) -> None:
    await hive.admin.send("alice")
    async with a_harness(alice):
        turn = await begun(alice)
        path = f"turns/{turn['id']}/events"
        one = [{"n": n, "at": 1.0, "kind": "text", "data": {"text": str(n)}} for n in range(3)]
        two = [{"n": n, "at": 2.0, "kind": "note", "data": {"text": "x"}} for n in range(2, 5)]
        for events in (one, two, one):
            answer = await alice.harness(path, session="session-1", events=events)
            assert answer.status == 200

    lines = (await hive.admin.get(f"/api/turns/{turn['id']}/events"))["events"]
    assert [(line["n"], line["at"]) for line in lines] == [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2)]


@promise("T2")
async def test_odd_numbers_in_a_transcript_spoil_it_for_nobody(hive: Whole, alice: Box) -> None:
    data = b'{"huge": 1%s, "nan": NaN, "endless": [-Infinity, 1e999], "fine": 0.5}' % (b"0" * 40)
    line = b'{"n": 0, "at": 1.0, "kind": "text", "data": %s}' % data
    await hive.admin.send("alice")
    async with a_harness(alice):
        turn = await begun(alice)
        answer = await alice.ask(
            "POST",
            f"/harness/turns/{turn['id']}/events",
            body=b'{"session": "session-1", "events": [%s]}' % line,
        )

    assert answer.status == 200, answer
    shown = await hive.admin.ask("GET", f"/api/turns/{turn['id']}/events")
    assert shown.status == 200
    kept = json.loads(shown.body, parse_constant=pytest.fail)["events"][0]["data"]
    assert kept == {"huge": "1" + "0" * 40, "nan": "nan", "endless": ["-inf", "inf"], "fine": 0.5}


TURN = "turns/{turn}"
ZEROS = "0" * 30


def an_end(more: str) -> tuple[str, str]:
    """Say that a turn ended well, and something more."""
    return f"{TURN}/end", '{"session": "session-1", "outcome": "ok", ' + more + "}"


def a_transcript(lines: str) -> tuple[str, str]:
    """Tell some lines of a transcript."""
    return f"{TURN}/events", '{"session": "session-1", "events": [' + lines + "]}"


def a_line(n: int = 0) -> str:
    """Write a line that is as it should be."""
    return f'{{"n": {n}, "at": 1, "kind": "text", "data": {{}}}}'


WRONG = [
    ("work", "{}"),
    ("work", '{"session": "short", "wait_seconds": 0}'),
    ("work", '{"session": "session-1", "wait_seconds": 181}'),
    ("work", '{"session": "session-1", "wait_seconds": -1}'),
    ("work", '{"session": "session-1", "wait_seconds": NaN}'),
    ("work", '{"session": "session-1", "wait_seconds": 1e999}'),
    ("work", '{"session": "session-1", "wait_seconds": 0, "agent": "bob"}'),
    ("session", '{"session": "session 1", "pid": 1, "version": ""}'),
    ("session", f'{{"session": "{"s" * 65}", "pid": 1, "version": ""}}'),
    ("session", '{"session": "session-1", "pid": -1, "version": ""}'),
    ("session", f'{{"session": "session-1", "pid": 1, "version": "{"v" * 65}"}}'),
    ("session", '{"session": "session-1", "pid": 1, "version": "", "agent": "bob"}'),
    ("heartbeat", "[]"),
    ("probe", '{"session": "session-1"}'),
    ("probe", '{"session": "session-1", "probe": "a box"}'),
    ("heartbeat", '{"session": "session-1", "turn": "x"}'),
    (f"{TURN}/end", '{"session": "session-1"}'),
    (f"{TURN}/end", '{"session": "session-1", "outcome": "fine"}'),
    (f"{TURN}/end", '{"session": "session-1", "outcome": "died"}'),
    (f"{TURN}/end", '{"session": "session-1", "outcome": "drained"}'),
    an_end('"usage": {"cost_usd": NaN}'),
    an_end('"usage": {"cost_usd": 1e999}'),
    an_end('"usage": {"cost_usd": -1}'),
    an_end('"usage": {"input_tokens": 1' + ZEROS + "}"),
    an_end('"usage": {"tokens": 1}'),
    an_end('"tools": {"send": -1}'),
    an_end('"tools": {"send": 1' + ZEROS + "}"),
    an_end('"tools": {"' + "t" * 129 + '": 1}'),
    an_end('"error": "' + "e" * 16385 + '"'),
    a_transcript("{}"),
    a_transcript(a_line(-1)),
    a_transcript('{"n": 1' + ZEROS + ', "at": 1, "kind": "text", "data": {}}'),
    a_transcript('{"n": 0, "at": NaN, "kind": "text", "data": {}}'),
    a_transcript('{"n": 0, "at": 1e999, "kind": "text", "data": {}}'),
    a_transcript('{"n": 0, "at": 1, "kind": "a shout", "data": {}}'),
    a_transcript('{"n": 0, "at": 1, "kind": "' + "k" * 33 + '", "data": {}}'),
    a_transcript('{"n": 0, "at": 1, "kind": "text", "data": []}'),
    a_transcript('{"n": 0, "at": 1, "kind": "text", "data": {}, "x": 1}'),
    a_transcript(f"{a_line()}, {a_line()}"),
    a_transcript(", ".join(map(a_line, range(65)))),
    (f"{TURN}/events", '{"session": "session-1", "events": 5}'),
    (f"{TURN}/begin", "null"),
    (f"{TURN}/begin", '{"session": null}'),
    (f"{TURN}/begin", '{"session": "session-\\ud800"}'),
    (f"{TURN}/begin", "\xff"),
    (f"{TURN}/begin", "["),
    (f"{TURN}/begin", "[" * 100_000),
]


@promise("T2", "E3")
async def test_what_no_harness_says_is_refused_and_changes_nothing(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("alice")
    async with a_harness(alice):
        turn = (await begun(alice))["id"]
        before = hive.run.store.bus.seq
        for step, body in WRONG:
            path = f"/harness/{step.format(turn=turn)}"
            answer = await alice.ask("POST", path, body=body.encode("latin-1"))

            assert answer.status == 400, (step, body[:80], answer)
            problem = answer.json()
            assert answer.kind == "application/problem+json"
            assert (problem["code"], bool(problem["detail"]), bool(problem["remedy"])) == (
                "invalid",
                True,
                True,
            )
        assert hive.run.store.bus.seq == before
        assert (await message_of(hive, number))["state"] == "leased"


@promise("T2")
async def test_a_request_of_two_mebibytes_is_too_large(alice: Box) -> None:
    answer = await alice.ask("POST", "/harness/work", body=b"x" * (2 << 20))

    assert (answer.status, answer.json()["code"]) == (413, "too_large")


async def nothing_found(_agent: str, _probe: object) -> None:
    """Take a probe and make nothing of it."""


async def test_a_quiet_connection_is_told_that_the_server_lives(hive: Whole) -> None:
    said: list[bytes] = []
    endpoint = HarnessEndpoint(
        hive.run.sessions,
        hive.run.turns,
        lambda name: briefing(hive.run.hive, name),
        looked_into=nothing_found,
        ping_seconds=0.01,
    )
    body = b'{"session": "session-1", "pid": 1, "version": ""}'
    asked = asyncio.Queue[dict[str, Any]]()
    asked.put_nowait({"type": "http.request", "body": body, "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        said.append(message.get("body", b""))
        if len(said) == 5:
            asked.put_nowait({"type": "http.disconnect"})

    scope = {"method": "POST", "path": "/harness/session", "hyperhive.agent": "alice"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        await endpoint(scope, asked.get, send)

    lines = [json.loads(line) for line in said if line.strip()]
    assert [line["type"] for line in lines[:3]] == ["welcome", "ping", "ping"]
    assert hive.run.sessions.of("alice") is None


async def test_a_stop_of_the_server_ends_the_connection_and_not_the_turn(tmp_path: Path) -> None:
    async with a_whole_hive(tmp_path / "other") as hive:
        wire = await Wire.to(hive.box("alice").socket)
        await wire.begin(
            "POST",
            "/harness/session",
            body=b'{"session": "session-1", "pid": 1, "version": ""}',
        )
        await hive.admin.send("alice")
        await begun(hive.box("alice"))

    async with asyncio.timeout(PATIENCE_SECONDS):
        rest = [part async for part in wire.parts()]
    await wire.close()
    assert b"welcome" in b"".join(rest)
