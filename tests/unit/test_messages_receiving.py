"""Receiving: the order, the waits, and what becomes of a client that goes away."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.errors import InvalidError, NotFoundError, TurnOverError
from hyperhive.domain.messages import HAND_LEASE_SECONDS, REDELIVERY_SECONDS
from hyperhive.services.callers import Caller
from hyperhive.store.messages import Holder
from tests.builders import Desk, ManualClock, a_desk
from tests.pace import on_this_machine
from tests.promises import promise
from tests.store.holding import writer_held

pytestmark = pytest.mark.anyio

LONG_SECONDS = 30.0
"""A wait that must not pass: whoever waits so long has missed its wake-up."""
BOUND_SECONDS = 30.0


async def settled(desk: Desk) -> None:
    """Wait until all that is queued for the writer is done and those who wait have looked."""
    for _ in range(3):
        await desk.store.write(lambda _work: None)
        await asyncio.sleep(0)


async def waiting(desk: Desk, agent: str, **options: Any) -> "asyncio.Task[list[dict[str, Any]]]":
    """Start a wait, and return once it has looked and found nothing."""
    task = asyncio.create_task(desk.recv(agent, wait_seconds=LONG_SECONDS, **options))
    await settled(desk)
    assert not task.done()
    return task


@promise("M4")
async def test_an_inbox_is_handed_out_in_the_order_in_which_it_was_filled(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        sent = [await desk.send(sender, "alice") for sender in ("queen", "bob") * 8]

        got = [
            message["id"]
            for count in (1, 3, 12)
            for message in await desk.recv("alice", count=count)
        ]

        assert got == sent


@promise("M4")
async def test_a_released_message_comes_before_the_younger_ones_when_it_is_due(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        first, second = await desk.send("queen", "alice"), await desk.send("queen", "alice")
        for _ in range(2):
            await desk.end("alice", (await desk.turn("alice"))["id"], "failed")

        # The first has to wait for 30 s; the second need not wait with it.
        assert [m["id"] for m in await desk.recv("alice")] == [second]
        third = await desk.send("queen", "alice")
        clock.advance(30)
        assert [m["id"] for m in await desk.recv("alice", count=2)] == [first, third]


@pytest.mark.parametrize("count", [0, 33, -1])
async def test_one_can_ask_for_1_to_32_messages(tmp_path: Path, count: int) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(InvalidError, match="1 to 32"):
            await desk.recv("alice", count=count)


async def test_the_answer_says_how_many_more_wait(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(5):
            await desk.send("queen", "alice")

        got = await desk.messages.receive(
            "alice", wait_seconds=0, count=2, holder=Holder(), caller=Caller()
        )

        assert (len(got["messages"]), got["waiting"]) == (2, 3)


@promise("M3")
async def test_a_wait_returns_with_the_message_that_arrives(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        task = await waiting(desk, "alice")
        number = await desk.send("queen", "alice")

        async with asyncio.timeout(BOUND_SECONDS):
            assert [message["id"] for message in await task] == [number]


@promise("M3")
async def test_a_send_between_subscribing_and_looking_is_seen(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        async with writer_held(desk.store):
            sending = asyncio.create_task(desk.send("queen", "alice"))
            await asyncio.sleep(0)
            # It has subscribed, and its look stands in the queue behind the send.
            receiving = asyncio.create_task(desk.recv("alice", wait_seconds=LONG_SECONDS))
            await asyncio.sleep(0)
            assert not receiving.done()

        async with asyncio.timeout(BOUND_SECONDS):
            assert [message["id"] for message in await receiving] == [await sending]


@promise("M3")
async def test_a_send_between_looking_and_waiting_is_seen(tmp_path: Path) -> None:
    """The look and the send are one batch: the receiver hears of both before it can wait."""
    async with a_desk(tmp_path) as desk:
        async with writer_held(desk.store):
            receiving = asyncio.create_task(desk.recv("alice", wait_seconds=LONG_SECONDS))
            await asyncio.sleep(0)
            sending = asyncio.create_task(desk.send("queen", "alice"))
            await asyncio.sleep(0)

        async with asyncio.timeout(BOUND_SECONDS):
            assert [message["id"] for message in await receiving] == [await sending]


@promise("M3")
async def test_no_wake_up_is_lost_in_many_rounds(tmp_path: Path) -> None:
    rounds, agents = 150, ("queen", "alice", "bob")
    async with a_desk(tmp_path) as desk:

        async def receive(agent: str) -> list[int]:
            got: list[int] = []
            while len(got) < rounds:
                messages = await desk.recv(agent, wait_seconds=LONG_SECONDS, count=2)
                got += [message["id"] for message in messages]
            return got

        async def send(agent: str) -> list[int]:
            sent = []
            for number in range(rounds):
                # Every phase that a send can meet a look in, over the rounds.
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                sent.append(await desk.send("operator", agent))
            return sent

        async with asyncio.timeout(on_this_machine(LONG_SECONDS)):
            done = await asyncio.gather(*map(receive, agents), *map(send, agents))

    assert done[:3] == done[3:]


async def test_of_two_who_wait_one_gets_the_message(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        tasks = [await waiting(desk, "alice") for _ in range(2)]
        await desk.send("queen", "alice")
        await settled(desk)

        assert [task.done() for task in tasks].count(True) == 1
        await desk.send("queen", "alice")
        async with asyncio.timeout(BOUND_SECONDS):
            got = await asyncio.gather(*tasks)
        assert sorted(message["id"] for messages in got for message in messages) == [1, 2]


async def test_a_look_without_a_wait_returns_at_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, asyncio.timeout(BOUND_SECONDS):
        assert await desk.recv("alice", wait_seconds=0) == []


async def test_a_wait_ends_with_its_time(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, asyncio.timeout(BOUND_SECONDS):
        assert await desk.recv("alice", wait_seconds=0.01) == []


async def test_a_wait_returns_when_a_message_that_was_held_back_is_due(tmp_path: Path) -> None:
    """The clock of the store says when; what the wait counts down is real time."""
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        for _ in range(2):
            await desk.end("alice", (await desk.turn("alice"))["id"], "failed")
        clock.advance(29.99)
        task = await waiting(desk, "alice")
        clock.advance(0.02)

        async with asyncio.timeout(BOUND_SECONDS):
            assert [message["id"] for message in await task] == [number]


async def test_a_wait_ends_when_the_hive_stops(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        task = await waiting(desk, "alice")
        desk.store.bus.close()

        async with asyncio.timeout(BOUND_SECONDS):
            assert await task == []
            assert await desk.recv("alice", wait_seconds=LONG_SECONDS) == []


async def test_a_wait_ends_with_its_turn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        task = await waiting(desk, "alice", turn=turn["id"])
        await desk.end("alice", turn["id"], "cancelled")

        async with asyncio.timeout(BOUND_SECONDS):
            with pytest.raises(TurnOverError):
                await task


async def test_nothing_is_received_for_a_turn_that_is_over_or_of_another_agent(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice")
        turn = await desk.turn("alice")
        await desk.send("queen", "bob")
        with pytest.raises(TurnOverError):
            await desk.recv("bob", turn=turn["id"])
        await desk.end("alice", turn["id"])
        with pytest.raises(TurnOverError):
            await desk.recv("alice", turn=turn["id"])


@promise("M5")
async def test_a_wait_ends_with_its_client_and_takes_nothing_for_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        caller = Caller()
        task = await waiting(desk, "alice", caller=caller)
        caller.leave()
        async with asyncio.timeout(BOUND_SECONDS):
            assert await task == []

        number = await desk.send("queen", "alice")
        assert await desk.state(number) == "queued"


@promise("M5")
async def test_what_was_leased_for_a_client_that_had_gone_is_back_at_once_and_unflagged(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        caller = Caller()
        async with writer_held(desk.store):
            receiving = asyncio.create_task(desk.recv("alice", caller=caller))
            await asyncio.sleep(0)
            caller.leave()
        assert await receiving == []

        (message,) = await desk.recv("alice")
        assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, False)


async def test_a_client_that_was_gone_before_it_asked_gets_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        caller = Caller()
        caller.leave()

        assert await desk.recv("alice", caller=caller) == []
        assert await desk.state(number) == "queued"


@promise("M5")
async def test_what_a_cancelled_request_was_about_to_be_given_is_back_at_once(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        async with writer_held(desk.store):
            receiving = asyncio.create_task(desk.recv("alice"))
            await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await receiving

        (message,) = await desk.recv("alice")
        assert (message["id"], message["redelivered"]) == (number, False)


@promise("M15")
async def test_a_request_that_comes_again_gets_what_it_was_given_and_nothing_more(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(3):
            await desk.send("queen", "alice")

        first = await desk.recv("alice", count=2, delivery="r1")
        again = await desk.recv("alice", count=2, delivery="r1")
        next_one = await desk.recv("alice", count=2, delivery="r2")

        assert [message["id"] for message in first] == [1, 2]
        assert again == first
        assert [message["id"] for message in next_one] == [3]


@promise("M15")
async def test_a_request_that_comes_again_keeps_what_the_first_connection_would_give_back(
    tmp_path: Path,
) -> None:
    """The first connection breaks, its retry is answered, and only then is the break noticed."""
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        caller = Caller()
        async with writer_held(desk.store):
            first = asyncio.create_task(desk.recv("alice", delivery="r1", caller=caller))
            await asyncio.sleep(0)
            again = asyncio.create_task(desk.recv("alice", delivery="r1"))
            await asyncio.sleep(0)
            caller.leave()
        assert await first == []
        assert [message["id"] for message in await again] == [number]

        assert await desk.state(number) == "leased"
        assert await desk.recv("alice", delivery="r2") == []


async def test_a_request_that_comes_again_ends_the_wait_of_the_first(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first = await waiting(desk, "alice", delivery="r1")
        again = await waiting(desk, "alice", delivery="r1")
        async with asyncio.timeout(BOUND_SECONDS):
            assert await first == []

            number = await desk.send("queen", "alice")
            assert [message["id"] for message in await again] == [number]


async def test_what_could_not_be_answered_is_back_and_flagged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.recv("alice", delivery="r1")
        await desk.messages.give_back_delivery("alice", "r1")

        (message,) = await desk.recv("alice", delivery="r2")
        assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, True)


async def test_what_was_seen_to_arrive_is_not_given_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.recv("alice", delivery="r1")
        assert await desk.messages.confirm("alice", "r1") == 1
        await desk.messages.give_back_delivery("alice", "r1")

        assert await desk.state(number) == "leased"


async def test_nobody_confirms_or_gives_back_the_delivery_of_another(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.recv("alice", delivery="r1")

        assert await desk.messages.confirm("bob", "r1") == 0
        await desk.messages.give_back_delivery("bob", "r1")
        assert await desk.state(number) == "leased"


@promise("M14")
async def test_what_was_received_by_hand_is_acked_by_hand(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.recv("alice")

        answer = await desk.messages.ack("alice", [number, number], in_turn=False)
        again = await desk.messages.ack("alice", [number], in_turn=False)

        assert answer == again == {"acked": [number]}
        assert await desk.state(number) == "acked"


@promise("M14")
async def test_a_lease_by_hand_ends_after_15_minutes_and_counts_no_attempt(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        await desk.recv("alice")
        clock.advance(HAND_LEASE_SECONDS - 1)
        assert await desk.messages.release_overdue() == 0

        clock.advance(1)
        assert await desk.messages.release_overdue() == 1

        (message,) = await desk.recv("alice")
        assert (message["id"], message["attempt"], message["redelivered"]) == (number, 1, True)


async def test_what_a_turn_holds_is_never_overdue(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        await desk.turn("alice")
        clock.advance(10 * HAND_LEASE_SECONDS)

        assert await desk.messages.release_overdue() == 0


async def test_an_ack_after_the_lease_says_what_was_lost(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        lost, kept = await desk.send("queen", "alice"), await desk.send("queen", "alice")
        await desk.recv("alice")
        clock.advance(HAND_LEASE_SECONDS)
        await desk.messages.release_overdue()
        await desk.recv("alice", count=2)
        await desk.messages.ack("alice", [kept], in_turn=False)
        clock.advance(HAND_LEASE_SECONDS)
        await desk.messages.release_overdue()

        answer = await desk.messages.ack("alice", [lost, kept], in_turn=False)

        assert answer["acked"] == [kept]
        assert answer["not_leased"] == [lost]
        assert "delivered again" in answer["lost"]


async def test_what_a_turn_holds_is_acked_by_its_end_and_ack_says_so(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.turn("alice")

        answer = await desk.messages.ack("alice", [number], in_turn=True)

        assert answer["acked_by_turn_end"] == [number]
        assert await desk.state(number) == "leased"
        assert (await desk.messages.ack("alice", [], in_turn=True))["acked"] == []


@pytest.mark.parametrize("number", [1, 999])
async def test_nobody_acks_the_message_of_another_and_the_rest_stays_too(
    tmp_path: Path, number: int
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "bob")
        own = await desk.send("queen", "alice")
        await desk.recv("alice")

        with pytest.raises(NotFoundError, match="message in your inbox"):
            await desk.messages.ack("alice", [own, number], in_turn=False)

        assert await desk.state(own) == "leased"


@pytest.mark.parametrize("failures", [0, 1, 2, 4])
async def test_a_clock_that_is_set_back_holds_no_message_up(tmp_path: Path, failures: int) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        for _ in range(failures):
            clock.advance(600)
            await desk.end("alice", (await desk.turn("alice"))["id"], "failed")

        clock.advance(-24 * 3600)

        assert [message["id"] for message in await desk.recv("alice")] == [number]


async def test_a_clock_that_is_set_back_does_not_make_a_lease_by_hand_last(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.send("queen", "alice")
        await desk.recv("alice")
        clock.advance(-24 * 3600)

        assert await desk.messages.release_overdue() == 1


async def test_a_client_that_never_confirms_gets_a_message_again_until_it_is_dead(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        attempts: list[int] = []
        while await desk.state(number) != "dead":
            (message,) = await desk.recv("alice", delivery=f"d{len(attempts)}")
            await desk.messages.give_back_delivery("alice", f"d{len(attempts)}")
            attempts.append(message["attempt"])
            clock.advance(REDELIVERY_SECONDS[-1])

        assert attempts == [1, 1, 1, 2, 3, 4, 5]


async def test_a_client_by_hand_that_never_acks_gets_a_message_seven_times(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("queen", "alice")
        for _ in range(7):
            (message,) = await desk.recv("alice")
            assert message["id"] == number
            clock.advance(HAND_LEASE_SECONDS)
            await desk.messages.release_overdue()
            clock.advance(REDELIVERY_SECONDS[-1])
        assert await desk.state(number) == "dead"

        await desk.messages.requeue(THE_OPERATOR, number, via="test")
        (message,) = await desk.recv("alice")
        clock.advance(HAND_LEASE_SECONDS)
        await desk.messages.release_overdue()
        (again,) = await desk.recv("alice")
        assert (message["attempt"], again["attempt"]) == (1, 1)
