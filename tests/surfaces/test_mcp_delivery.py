"""Whether what was handed out reached its client: waits, confirmations, clients that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ManualClock
from tests.promises import promise
from tests.surfaces.hives import (
    MCP,
    PATIENCE_SECONDS,
    Box,
    Whole,
    Wire,
    a_harness,
    a_whole_hive,
    until,
)

pytestmark = pytest.mark.anyio


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


@asynccontextmanager
async def a_turn(hive: Whole, box: Box) -> AsyncIterator[int]:
    """Give a turn that has begun with a message of its own."""
    await hive.admin.send(box.name, "wake up")
    async with a_harness(box):
        offered = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
        await box.harness(f"turns/{offered['id']}/begin", session="session-1")
        yield int(offered["id"])


async def end(box: Box, turn: int, outcome: str = "ok") -> None:
    """End a turn."""
    answer = await box.harness(f"turns/{turn}/end", session="session-1", outcome=outcome)
    assert answer.status == 200, answer


async def state_of(hive: Whole, number: int) -> str:
    """Say where a message is."""
    return str((await hive.admin.get(f"/api/messages/{number}"))["state"])


async def waiting(hive: Whole, agent: str) -> None:
    """Wait until somebody waits for an agent's inbox."""
    await until(lambda: f"inbox:{agent}" in hive.run.store.bus._watches)


def a_recv(**arguments: Any) -> bytes:
    """Write a whole request for messages, to be sent by hand."""
    params = {"name": "recv", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(message).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in MCP.items())
    head = f"POST /mcp HTTP/1.1\r\nhost: h\r\n{fields}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@promise("M3")
async def test_a_wait_returns_the_moment_a_message_arrives(hive: Whole, alice: Box) -> None:
    wait = asyncio.create_task(alice.call("recv", wait_seconds=50))
    await waiting(hive, "alice")

    number = await hive.admin.send("alice")

    async with asyncio.timeout(PATIENCE_SECONDS):
        (message,) = (await wait).result["messages"]
    assert message["id"] == number


async def test_a_wait_for_nothing_ends_empty(alice: Box) -> None:
    called = await alice.call("recv", wait_seconds=0.05)

    assert called.result == {"messages": [], "waiting": 0}
    assert called.delivery is None


@promise("M5")
async def test_a_waiting_client_that_goes_away_leases_nothing(hive: Whole, alice: Box) -> None:
    wire = await Wire.to(alice.socket)
    await wire.say(a_recv(wait_seconds=50))
    await waiting(hive, "alice")

    await wire.close()
    await until(lambda: "inbox:alice" not in hive.run.store.bus._watches)
    number = await hive.admin.send("alice")

    assert await state_of(hive, number) == "queued"
    (message,) = (await alice.call("recv")).result["messages"]
    assert (message["id"], message["redelivered"]) == (number, False)


@promise("M5")
@pytest.mark.parametrize("request_id", ["c" * 32, None])
async def test_what_was_leased_to_a_client_that_went_before_the_answer_began_is_released(
    hive: Whole, alice: Box, monkeypatch: pytest.MonkeyPatch, request_id: str | None
) -> None:
    number = await hive.admin.send("alice")
    receive = hive.run.messages.receive
    wire = await Wire.to(alice.socket)
    gone = asyncio.Event()

    async def and_the_client_goes(*given: Any, **named: Any) -> dict[str, Any]:
        got = await receive(*given, **named)
        assert await state_of(hive, number) == "leased"
        await wire.close()
        await until(lambda: named["caller"].gone)
        gone.set()
        return got

    monkeypatch.setattr(hive.run.messages, "receive", and_the_client_goes)
    request = a_recv()
    if request_id is not None:
        request = request.replace(
            b"host: h", f"host: h\r\nhyperhive-request: {request_id}".encode()
        )
    await wire.say(request)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await gone.wait()

    async def is_back() -> bool:
        return await state_of(hive, number) == "queued"

    await until(is_back)
    monkeypatch.undo()
    (message,) = (await alice.call("recv")).result["messages"]
    assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, True)


@promise("M5")
async def test_what_was_seen_to_arrive_is_acked_by_the_end_of_its_turn(
    hive: Whole, alice: Box
) -> None:
    async with a_turn(hive, alice) as turn:
        number = await hive.admin.send("alice")
        called = await alice.call("recv", turn=turn)
        assert called.delivery is not None

        confirmed = await alice.confirm(called.delivery)
        await end(alice, turn)

    assert confirmed.status == 204
    assert await state_of(hive, number) == "acked"


@promise("M5")
async def test_what_was_not_seen_to_arrive_is_delivered_again_flagged(
    hive: Whole, alice: Box
) -> None:
    async with a_turn(hive, alice) as turn:
        number = await hive.admin.send("alice")
        await alice.call("recv", turn=turn)

        await end(alice, turn)
        again = await alice.harness("work", session="session-1", wait_seconds=5)

    (message,) = again.json()["turn"]["messages"]
    assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, True)
    assert "may have handled this already" in message["hint"]


@promise("M5")
async def test_of_two_deliveries_only_the_confirmed_one_is_acked(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        first, second = await hive.admin.send("alice"), await hive.admin.send("alice")
        one = await alice.call("recv", turn=turn)
        await alice.call("recv", turn=turn)
        assert one.delivery is not None
        await alice.confirm(one.delivery)
        await end(alice, turn)

    assert (await state_of(hive, first), await state_of(hive, second)) == ("acked", "queued")


@promise("M5", "I1")
async def test_another_agents_delivery_cannot_be_confirmed(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        number = await hive.admin.send("alice")
        called = await alice.call("recv", turn=turn)
        assert called.delivery is not None

        for thief in ("bob", "queen"):
            await hive.box(thief).confirm(called.delivery)
        await end(alice, turn)

    assert await state_of(hive, number) == "queued"


@promise("M5")
async def test_an_invented_delivery_confirms_nothing(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        number = await hive.admin.send("alice")
        await alice.call("recv", turn=turn)
        for invented in ("0" * 32, "x", "None", "%00"):
            assert (await alice.confirm(invented)).status in {204, 404}
        await end(alice, turn)

    assert await state_of(hive, number) == "queued"


@promise("M5")
async def test_a_confirmation_after_the_end_changes_nothing(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        number = await hive.admin.send("alice")
        called = await alice.call("recv", turn=turn)
        assert called.delivery is not None
        await end(alice, turn)

        late = await alice.confirm(called.delivery)

    assert late.status == 204
    assert await state_of(hive, number) == "queued"


@promise("T4")
async def test_a_repeated_request_for_messages_gets_the_same_ones(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        first = await hive.admin.send("alice")
        await hive.admin.send("alice")

        one = await alice.call("recv", turn=turn, request="d" * 32)
        again = await alice.call("recv", turn=turn, request="d" * 32)

    assert [message["id"] for message in one.result["messages"]] == [first]
    assert again.result["messages"] == one.result["messages"]


@promise("M3")
async def test_a_wait_ends_with_its_turn(hive: Whole, alice: Box) -> None:
    async with a_turn(hive, alice) as turn:
        wait = asyncio.create_task(alice.call("recv", wait_seconds=50, turn=turn))
        await until(lambda: f"turn:{turn}" in hive.run.store.bus._watches)

        await end(alice, turn)

        async with asyncio.timeout(PATIENCE_SECONDS):
            called = await wait
    assert called.refusal is not None
    assert f"Turn {turn} is over." in called.refusal
    number = await hive.admin.send("alice")
    assert await state_of(hive, number) == "queued"


@promise("I1")
@pytest.mark.parametrize("thief", ["bob", "queen"])
async def test_the_turn_of_another_agent_is_refused(hive: Whole, alice: Box, thief: str) -> None:
    number = await hive.admin.send(thief)
    async with a_turn(hive, alice) as turn:
        called = await hive.box(thief).call("recv", turn=turn)

        assert called.refusal is not None
        assert await state_of(hive, number) == "queued"


@promise("I1")
@pytest.mark.parametrize("turn", ["0", "-1", "999", "9" * 15, "9" * 400, "x", "1 1", "1.0", "²"])
async def test_an_invented_turn_leases_nothing_for_it(hive: Whole, alice: Box, turn: str) -> None:
    number = await hive.admin.send("alice")
    params = {"name": "recv", "arguments": {}}

    answer = await alice.rpc("tools/call", params, headers={"hyperhive-turn": turn})

    assert answer.status == 200
    if answer.json()["result"].get("isError"):
        assert await state_of(hive, number) == "queued"
    else:  # what is no number at all is no turn: the client is one by hand
        assert not turn.isdecimal() or len(turn) > 15
        await alice.call("ack", ids=[number])
        assert await state_of(hive, number) == "acked"


@promise("T4")
async def test_a_wait_that_the_stop_of_the_hive_cuts_short_is_to_be_asked_again(
    tmp_path: Path,
) -> None:
    params = {"name": "recv", "arguments": {"wait_seconds": 50}}
    async with a_whole_hive(tmp_path / "other") as hive:
        wait = asyncio.create_task(hive.box("alice").rpc("tools/call", params))
        await waiting(hive, "alice")

    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await wait
    assert answer.status == 503
