"""Sending, and what a sender and the operator can learn and do afterwards."""

from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)
from hyperhive.domain.events import Event
from hyperhive.store import alerts, audit, events, messages
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.promises import promise
from tests.store.holding import commits_of

pytestmark = pytest.mark.anyio


def kinds_of(event_list: list[Event]) -> list[str]:
    return [event.kind.removeprefix("message_") for event in event_list]


async def all_events(desk: Desk) -> list[Event]:
    return await desk.store.read(lambda asking: events.after(asking, 0, 10_000))


async def fail(desk: Desk, agent: str, times: int = 1) -> None:
    """Let an agent fail at the oldest message of its inbox."""
    for _ in range(times):
        assert isinstance(desk.clock, ManualClock)
        desk.clock.advance(600)
        await desk.end(agent, (await desk.turn(agent))["id"], "failed")


async def test_a_send_names_the_message_and_the_state_of_its_receiver(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.hello("alice")
        to_alice = await desk.messages.send(an_actor("queen"), "alice", "hello")
        to_bob = await desk.messages.send(an_actor("alice"), "bob", "hello")
        to_manager = await desk.messages.send(an_actor("alice"), "manager", "hello")
        to_operator = await desk.messages.send(an_actor("alice"), "operator", "hello")

        assert (to_alice["id"], to_alice["receiver"]) == (1, "ready")
        assert (to_bob["id"], to_bob["receiver"]) == (2, "stopped")
        assert to_manager["to"] == "queen"
        assert to_operator["receiver"] is None
        assert to_operator["seq"] == desk.store.bus.seq


@promise("S1")
async def test_a_message_and_its_event_are_one_commit_and_say_the_same(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with commits_of(desk.store) as commits:
            number = await desk.send("queen", "alice", "hello")
        (event,) = await desk.store.read(lambda asking: events.of_message(asking, number))
        row = await desk.store.read(lambda asking: messages.find(asking, number))

        assert len(commits) == 1
        assert row is not None
        assert event.data["message"] == messages.summary(row)
        assert (event.actor, event.agent, event.seq) == ("queen", "alice", desk.store.bus.seq)


@promise("M2")
async def test_a_send_repeated_with_its_key_is_answered_like_the_first(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        first = await desk.messages.send(an_actor("queen"), "alice", "once", key="k")
        clock.advance(24 * 3600 - 1)
        again = await desk.messages.send(an_actor("queen"), "alice", "once", key="k")

        assert again == first
        assert len(await desk.recv("alice", count=32)) == 1
        clock.advance(2)
        anew = await desk.messages.send(an_actor("queen"), "alice", "once", key="k")
        assert anew["id"] == first["id"] + 1


@promise("M2")
async def test_a_key_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        first = await desk.messages.send(an_actor("queen"), "*", "once", key="k")
    async with a_desk(tmp_path, clock=clock) as desk:
        again = await desk.messages.send(an_actor("queen"), "*", "once", key="k")

        assert again == first
        assert len(await desk.recv("alice", count=32)) == 1


async def test_a_key_belongs_to_its_sender(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        one = await desk.send("queen", "alice", "hello", key="k")
        other = await desk.send("bob", "alice", "hello", key="k")

        assert one != other


@pytest.mark.parametrize(
    "changed", [{"body": "other"}, {"to": "bob"}, {"in_reply_to": 1}], ids=lambda c: next(iter(c))
)
async def test_a_key_used_for_another_message_is_refused(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "alice", "hello", key="k")

        with pytest.raises(ConflictError, match="already used for a different request"):
            await desk.messages.send(
                an_actor("queen"), **{"to": "alice", "body": "hello", "key": "k", **changed}
            )


async def test_a_refused_send_does_not_use_up_its_key(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(NotFoundError):
            await desk.send("queen", "alice", "hello", key="k", in_reply_to=99)

        assert await desk.send("queen", "alice", "hello", key="k") == 1


@promise("M10")
async def test_a_broadcast_is_one_commit_with_a_flagged_copy_for_each(tmp_path: Path) -> None:
    async with a_desk(tmp_path, alice={"mayMessage": ["bob"]}) as desk:
        with commits_of(desk.store) as commits:
            answer = await desk.messages.send(an_actor("alice"), "*", "all hands")
        (copy,) = await desk.recv("bob")

        assert len(commits) == 1
        assert answer["id"] is None
        assert list(answer["ids"]) == ["bob"]
        assert answer["left_out"] == ["queen"]
        assert answer["receivers"] == {"bob": "stopped"}
        assert copy["broadcast"]
        assert "was a broadcast and may not need any action" in copy["hint"]
        assert await desk.recv("queen") == []


async def test_a_broadcast_that_reaches_nobody_says_so(tmp_path: Path) -> None:
    async with a_desk(tmp_path, alice={"mayMessage": []}) as desk:
        answer = await desk.messages.send(an_actor("alice"), "*", "anyone?", key="k")
        again = await desk.messages.send(an_actor("alice"), "*", "anyone?", key="k")

        assert (answer["ids"], sorted(answer["left_out"])) == ({}, ["bob", "queen"])
        assert again == answer


@promise("M11")
@pytest.mark.parametrize(
    ("to", "body", "refusal"),
    [
        ("nobody", "hello", NotFoundError),
        ("bob", "hello", ForbiddenError),
        ("queen", "x" * 20_000, TooLargeError),
        ("queen", " ", InvalidError),
    ],
)
async def test_a_refused_send_stores_nothing(
    tmp_path: Path, to: str, body: str, refusal: type[Exception]
) -> None:
    async with a_desk(tmp_path, alice={"mayMessage": ["queen"]}) as desk:
        before = desk.store.bus.seq

        with pytest.raises(refusal):
            await desk.send("alice", to, body)

        assert desk.store.bus.seq == before


async def test_a_reply_is_to_a_message_that_one_has_sent_or_received(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "alice")
        await desk.send("alice", "queen", "done", in_reply_to=number)
        await desk.send("queen", "bob", "you, too", in_reply_to=number)

        with pytest.raises(NotFoundError, match="message of yours to reply to"):
            await desk.send("bob", "alice", "what was it?", in_reply_to=number)


async def test_a_message_to_the_operator_is_delivered_and_unread_until_opened(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("alice", OPERATOR, "look")
        assert (await desk.messages.show(number))["state"] == "acked"
        assert await desk.store.read(messages.unread_by_operator) == 1

        await desk.messages.mark_read(an_actor(OPERATOR), number)
        await desk.messages.mark_read(an_actor(OPERATOR), number)

        assert await desk.store.read(messages.unread_by_operator) == 0
        history = await desk.store.read(lambda asking: events.of_message(asking, number))
        assert kinds_of(history) == ["queued", "read"]


@promise("M12")
async def test_a_sender_learns_where_its_message_is_at_every_step(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await desk.send("bob", "alice")
        said = []

        async def ask() -> None:
            said.append((await desk.messages.status(an_actor("bob"), number))["says"])

        await ask()
        await fail(desk, "alice")
        turn = await desk.turn("alice")
        await ask()
        await desk.end("alice", turn["id"], "failed")
        await ask()
        await fail(desk, "alice", 3)
        await ask()
        await desk.messages.requeue(an_actor(OPERATOR), number, via="test")
        await desk.end("alice", (await desk.turn("alice"))["id"])
        await ask()
        status = await desk.messages.status(an_actor("bob"), number)

    assert said == [
        "In alice's inbox, not yet taken up.",
        "alice is working on it.",
        "Waiting: after 2 failed attempts it is delivered again in 30 s.",
        "Dead after 5 failed attempts; the operator can requeue it.",
        "alice has handled it.",
    ]
    steps = [step["step"] for step in status["steps"]]
    assert steps == [
        "queued",
        *["leased", "released"] * 4,
        "leased",
        "dead",
        "requeued",
        "leased",
        "acked",
    ]


@promise("M12")
async def test_a_message_is_shown_to_its_two_ends_the_manager_and_the_operator_only(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, names=("queen", "alice", "bob", "carol")) as desk:
        number = await desk.send("alice", "bob")

        for viewer in ("alice", "bob", "queen", OPERATOR):
            shown = await desk.messages.status(an_actor(viewer), number)
            assert shown["id"] == number
        for number_or_none in (number, 999):
            with pytest.raises(NotFoundError, match="no message of yours"):
                await desk.messages.status(an_actor("carol"), number_or_none)


async def dead_message(desk: Desk, sender: str = "bob") -> int:
    number = await desk.send(sender, "alice", "poison")
    await fail(desk, "alice", 5)
    return number


@promise("M9")
async def test_a_death_is_an_alert_an_event_and_word_to_the_sender(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await dead_message(desk)

        assert await desk.state(number) == "dead"
        (alert,) = await desk.store.read(alerts.standing)
        assert (alert["key"], alert["agent"]) == (f"dead-message:{number}", "alice")
        (word,) = await desk.recv("bob")
        assert (word["from"], word["in_reply_to"]) == ("system", number)
        assert "5 attempts to handle it failed, the last one failed" in word["body"]
        history = await desk.store.read(lambda asking: events.of_message(asking, number))
        assert kinds_of(history)[-1] == "dead"
        assert await desk.recv("alice") == []


@promise("M9")
async def test_a_requeued_message_has_five_attempts_again_and_is_flagged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await dead_message(desk)
        await desk.messages.requeue(an_actor(OPERATOR), number, via="cli")

        assert await desk.store.read(alerts.standing) == []
        (again,) = (turn := await desk.turn("alice"))["messages"]
        assert (again["id"], again["attempt"], again["redelivered"]) == (number, 1, True)
        await desk.end("alice", turn["id"], "failed")
        await fail(desk, "alice", 4)
        assert await desk.state(number) == "dead"


@promise("M9")
async def test_a_dropped_message_is_settled_and_the_audit_log_says_by_whom(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await dead_message(desk)
        await desk.messages.drop(an_actor(OPERATOR), number, via="cli")

        assert await desk.state(number) == "dropped"
        assert await desk.store.read(alerts.standing) == []
        (entry,) = await desk.store.read(lambda ask: audit.search(ask, before=None, limit=9))
        assert (entry["actor"], entry["verb"], entry["subject"], entry["via"]) == (
            "operator",
            "drop",
            f"message:{number}",
            "cli",
        )
        with pytest.raises(ConflictError, match="is dropped, not dead"):
            await desk.messages.requeue(an_actor(OPERATOR), number, via="cli")


@pytest.mark.parametrize("verb", ["requeue", "drop"])
async def test_no_agent_settles_a_dead_message(tmp_path: Path, verb: str) -> None:
    async with a_desk(tmp_path) as desk:
        number = await dead_message(desk)

        with pytest.raises(ForbiddenError):
            await getattr(desk.messages, verb)(an_actor("queen"), number, via="mcp")

        assert await desk.state(number) == "dead"


async def test_the_death_of_a_message_of_the_operator_or_the_system_tells_nobody_else(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await dead_message(desk, sender=OPERATOR)
        await dead_message(desk, sender="system")

        assert len(await desk.store.read(alerts.standing)) == 2
        found = await desk.store.read(lambda a: messages.search(a, before=None, limit=99))
        assert len(found) == 2


async def test_an_agents_messages_are_paged_newest_first_without_gap_or_repeat(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for _ in range(4):
            await desk.send("queen", "alice")
            await desk.send("alice", "bob")
            await desk.send("alice", "alice", "note to self")
            await desk.send("queen", "bob")
        seen: list[int] = []
        before, more = None, True
        while more:
            page = await desk.messages.page(before=before, limit=5, agent="alice", state=None)
            seen += [message["id"] for message in page["messages"]]
            before, more = seen[-1], page["more"]

        everything = await desk.messages.page(before=None, limit=99, agent=None, state="queued")
        wanted = [m["id"] for m in everything["messages"] if "alice" in (m["from"], m["to"])]
        assert seen == wanted
        with pytest.raises(InvalidError, match="Known: queued, leased"):
            await desk.messages.page(before=None, limit=5, agent=None, state="lost")


@promise("M4")
async def test_broadcasts_and_single_messages_share_one_order(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for number in range(6):
            to = "*" if number % 2 else "alice"
            await desk.messages.send(an_actor("queen"), to, str(number))

        got = await desk.recv("alice", count=32)

        assert [message["body"] for message in got] == list("012345")
