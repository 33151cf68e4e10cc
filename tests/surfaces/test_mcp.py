"""The tools over MCP on an agent's socket: what they say, what they refuse, and in which words."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.messages import BODY_BYTES_MAX, HAND_LEASE_SECONDS
from tests.builders import ManualClock
from tests.promises import promise
from tests.surfaces.hives import MCP, Box, Whole, a_harness, a_whole_hive

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    settings: dict[str, Any] = {
        "alice": {"mayMessage": ["queen"]},
        "bob": {"tools": ["recv", "whoami"]},
    }
    async with a_whole_hive(tmp_path, clock=clock, **settings) as whole:
        yield whole


@pytest.fixture
def alice(hive: Whole) -> Box:
    return hive.box("alice")


@pytest.fixture
def queen(hive: Whole) -> Box:
    return hive.box("queen")


async def test_a_call_needs_no_handshake_and_no_session(alice: Box) -> None:
    called = await alice.call("whoami")

    assert called.result["name"] == "alice"
    assert "mcp-session-id" not in called.answer.headers


@promise("I1")
async def test_an_agent_is_who_its_socket_says(hive: Whole) -> None:
    for name, role in (("queen", "manager"), ("alice", "worker"), ("bob", "worker")):
        called = await hive.box(name).call("whoami")
        assert (called.result["name"], called.result["role"]) == (name, role)
        assert called.result["manager"] == "queen"


@promise("I1")
@pytest.mark.parametrize(
    "header", ["from", "hyperhive-agent", "hyperhive.agent", "x-forwarded-user", "authorization"]
)
async def test_no_header_says_otherwise(hive: Whole, queen: Box, header: str) -> None:
    params = {"name": "send", "arguments": {"to": "alice", "body": "x"}}

    await queen.rpc("tools/call", params, headers={header: "bob"})

    (sent,) = (await hive.admin.get("/api/state"))["messages"]
    assert sent["from"] == "queen"


async def test_a_send_names_its_message_and_how_the_receiver_is(hive: Whole, queen: Box) -> None:
    called = await queen.call("send", to="alice", body="hello")

    assert called.result["to"] == "alice"
    assert called.result["receiver"] == "stopped"
    assert (await hive.admin.get(f"/api/messages/{called.result['id']}"))["body"] == "hello"


@promise("M10")
async def test_a_broadcast_names_who_was_left_out(hive: Whole, alice: Box) -> None:
    called = await alice.call("send", to="*", body="all of you")

    assert called.result["ids"].keys() == {"queen"}
    assert called.result["left_out"] == ["bob"]
    (message,) = (await hive.box("queen").call("recv")).result["messages"]
    assert message["hint"] == "this was a broadcast and may not need any action from you"


@promise("M2", "T4")
async def test_a_request_that_is_sent_again_takes_effect_once(hive: Whole, queen: Box) -> None:
    first = await queen.call("send", to="alice", body="once", request="a" * 32)
    again = await queen.call("send", to="alice", body="once", request="a" * 32)

    assert again.result == first.result
    assert len((await hive.admin.get("/api/state"))["messages"]) == 1


@promise("M2")
async def test_a_key_of_the_longest_allowed_length_is_taken(queen: Box) -> None:
    first = await queen.call("send", to="alice", body="once", key="k" * 124)
    again = await queen.call("send", to="alice", body="once", key="k" * 124)
    longer = await queen.call("send", to="alice", body="once", key="k" * 125)

    assert again.result == first.result
    assert longer.refusal is not None
    assert "124" in longer.refusal


@promise("M2")
async def test_one_senders_key_is_nothing_to_another(hive: Whole, queen: Box, alice: Box) -> None:
    mine = await queen.call("send", to="queen", body="same", key="order-7")
    other = await alice.call("send", to="queen", body="same", key="order-7")
    same = {"to": "queen", "body": "same", "key": "order-7"}
    operator = await hive.admin.post("/api/messages", same)

    assert len({mine.result["id"], other.result["id"], operator["id"]}) == 3


@promise("M2")
async def test_a_key_used_again_for_another_text_is_refused(queen: Box) -> None:
    await queen.call("send", to="alice", body="one", key="order-7")

    called = await queen.call("send", to="alice", body="two", key="order-7")

    assert called.refusal is not None
    assert "key" in called.refusal


@promise("M11", "T1")
async def test_a_body_that_is_too_long_is_told_to_go_into_a_file(queen: Box) -> None:
    fits = await queen.call("send", to="alice", body="ü" * (BODY_BYTES_MAX // 2))
    called = await queen.call("send", to="alice", body="ü" * (BODY_BYTES_MAX // 2 + 1))

    assert fits.refusal is None
    assert called.refusal is not None
    assert "file" in called.refusal
    assert "path" in called.refusal
    assert str(BODY_BYTES_MAX) in called.refusal


@promise("M12")
async def test_a_sender_can_ask_where_its_message_is_at_every_step(queen: Box, alice: Box) -> None:
    number = (await queen.call("send", to="alice", body="x")).result["id"]

    async def said() -> tuple[str, str]:
        result = (await queen.call("message_status", id=number)).result
        return result["state"], result["says"]

    assert await said() == ("queued", "In alice's inbox, not yet taken up.")
    await alice.call("recv")
    assert await said() == ("leased", "alice is working on it.")
    await alice.call("ack", ids=[number])
    assert await said() == ("acked", "alice has handled it.")


@promise("M12")
async def test_nobody_but_those_concerned_is_told_of_a_message(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("bob", "between us")
    invented = await alice.call("message_status", id=number + 1)

    called = await alice.call("message_status", id=number)

    assert called.refusal is not None
    assert "between us" not in called.answer.body.decode()
    assert called.refusal == (invented.refusal or "").replace(str(number + 1), str(number))


async def test_nobody_replies_to_a_message_that_is_not_theirs(hive: Whole, alice: Box) -> None:
    number = await hive.admin.send("bob", "between us")

    called = await alice.call("send", to="queen", body="x", in_reply_to=number)

    assert called.refusal is not None


@promise("M14")
async def test_a_client_by_hand_acks_what_it_received(
    hive: Whole, alice: Box, clock: ManualClock
) -> None:
    number = await hive.admin.send("alice")
    (message,) = (await alice.call("recv")).result["messages"]

    acked = await alice.call("ack", ids=[number])

    assert (message["id"], message["attempt"]) == (number, 1)
    assert acked.result["acked"] == [number]
    clock.advance(2 * HAND_LEASE_SECONDS)
    await hive.run.messages.release_overdue()
    assert (await alice.call("recv")).result["messages"] == []


@promise("M14")
async def test_a_client_by_hand_that_does_not_ack_loses_the_lease_after_a_quarter_of_an_hour(
    hive: Whole, alice: Box, clock: ManualClock
) -> None:
    number = await hive.admin.send("alice")
    await alice.call("recv")

    clock.advance(HAND_LEASE_SECONDS - 1)
    await hive.run.messages.release_overdue()
    assert (await alice.call("recv")).result["messages"] == []
    clock.advance(2)
    await hive.run.messages.release_overdue()
    (again,) = (await alice.call("recv")).result["messages"]

    assert (again["id"], again["redelivered"], again["attempt"]) == (number, True, 1)
    assert "may have handled this already" in again["hint"]


@promise("M14")
async def test_an_ack_after_the_lease_is_told_that_it_came_too_late(
    hive: Whole, alice: Box, clock: ManualClock
) -> None:
    number = await hive.admin.send("alice")
    await alice.call("recv")
    clock.advance(HAND_LEASE_SECONDS + 1)
    await hive.run.messages.release_overdue()

    called = await alice.call("ack", ids=[number])

    assert called.result["acked"] == []
    assert called.result["not_leased"] == [number]
    assert "again" in called.result["lost"]


@promise("M14")
async def test_nobody_acks_for_another(hive: Whole, queen: Box, alice: Box) -> None:
    number = await hive.admin.send("alice")
    await alice.call("recv")

    called = await queen.call("ack", ids=[number])

    assert called.refusal is not None
    assert (await hive.admin.get(f"/api/messages/{number}"))["state"] == "leased"


async def test_an_ack_of_several_is_all_or_nothing(hive: Whole, alice: Box) -> None:
    mine, other = await hive.admin.send("alice"), await hive.admin.send("bob")
    await alice.call("recv")

    called = await alice.call("ack", ids=[mine, other])

    assert called.refusal is not None
    assert (await hive.admin.get(f"/api/messages/{mine}"))["state"] == "leased"


async def test_within_a_turn_an_ack_is_told_that_the_end_does_it(hive: Whole, alice: Box) -> None:
    await hive.admin.send("alice", "first")
    await hive.admin.send("alice", "second")
    async with a_harness(alice):
        turn = (await alice.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
        await alice.harness(f"turns/{turn['id']}/begin", session="session-1")
        (message,) = (await alice.call("recv", turn=turn["id"])).result["messages"]

        called = await alice.call("ack", ids=[message["id"]], turn=turn["id"])

    assert called.result["acked"] == []
    assert called.result["acked_by_turn_end"] == [message["id"]]
    assert "turn" in called.result["note"]


async def test_a_status_is_shown_to_everybody_and_cleared(
    hive: Whole, queen: Box, alice: Box
) -> None:
    await alice.call("set_status", text="  building\n the   roof ")
    listed = (await queen.call("list_agents")).result["agents"]
    (shown,) = [agent for agent in listed if agent["name"] == "alice"]
    assert shown["status"] == "building the roof"

    await alice.call("set_status", text="")
    state = await hive.admin.get("/api/state")
    assert [agent["status"] for agent in state["agents"]] == [None, None, None]


async def test_the_list_says_whom_one_may_write_to(alice: Box) -> None:
    listed = (await alice.call("list_agents")).result["agents"]

    assert {agent["name"]: agent["may_message"] for agent in listed} == {
        "alice": False,
        "bob": False,
        "queen": True,
    }
    assert [agent["name"] for agent in listed if agent["you"]] == ["alice"]


@promise("M4")
async def test_an_inbox_is_handed_out_in_order_and_says_what_waits(hive: Whole, alice: Box) -> None:
    ids = [await hive.admin.send("alice", f"number {n}") for n in range(5)]

    first = (await alice.call("recv", max=2)).result
    second = (await alice.call("recv", max=32)).result

    assert [message["id"] for message in first["messages"] + second["messages"]] == ids
    assert (first["waiting"], second["waiting"]) == (3, 0)


async def test_a_message_arrives_as_it_was_sent(hive: Whole, queen: Box, alice: Box) -> None:
    body = 'ünï 🐝 \0 \u2028 <b>"</b> \\ud800 \x7f\x85 \ufeff' + "\r\n\t"

    await queen.call("send", to="alice", body=body)

    (message,) = (await alice.call("recv")).result["messages"]
    assert message["body"] == body
    shown = await hive.admin.get(f"/api/messages/{message['id']}")
    assert shown["body"] == body


async def test_a_call_without_an_id_is_not_made(hive: Whole, queen: Box) -> None:
    params = {"name": "send", "arguments": {"to": "alice", "body": "x"}}
    message = {"jsonrpc": "2.0", "method": "tools/call", "params": params}

    await queen.ask("POST", "/mcp", headers=MCP, data=message)

    assert (await hive.admin.get("/api/state"))["messages"] == []
