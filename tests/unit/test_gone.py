"""What becomes of what an agent leaves that is declared no more, and of what was meant for it."""

from pathlib import Path

import pytest

from hyperhive.bus import QUESTIONS
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.approvals import ApprovalKind, Proposal
from hyperhive.domain.errors import NotFoundError
from hyperhive.services import control, questions
from hyperhive.services.control import Control
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import Writing, alerts
from tests.builders import Desk, ManualClock, a_desk, a_hive, an_actor

pytestmark = pytest.mark.anyio

FEWER = ("queen", "alice")


async def without_bob(desk: Desk, directory: Path) -> None:
    """Take bob out of the declaration."""
    await desk.agents.declare(a_hive(directory, directory / "run", FEWER))


async def purged(desk: Desk) -> None:
    operate = Control(desk.store, desk.agents, desk.sessions)
    await operate.purge(THE_OPERATOR, "bob", via="test")


async def alert_keys(desk: Desk) -> set[str]:
    return {alert["key"] for alert in await desk.store.read(alerts.standing)}


def raise_some(work: Writing) -> None:
    for key in ("login:bob", "stalled:bob", "dead-message:9"):
        alerts.raise_alert(work, key, key, agent="bob")
    alerts.raise_alert(work, "login:alice", "another's", agent="alice")


async def test_what_was_said_of_an_agent_is_taken_back_with_it_but_not_its_dead_messages(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.store.write(raise_some)

        await without_bob(desk, tmp_path)
        assert await alert_keys(desk) == {"dead-message:9", "login:alice"}

        await purged(desk)
        assert await alert_keys(desk) == {"login:alice"}


async def test_the_end_of_a_gone_agents_turn_says_nothing_more_of_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "bob")
        turn = await desk.turn("bob")
        await without_bob(desk, tmp_path)
        await desk.end("bob", turn["id"], "needs_login")

        assert await alert_keys(desk) == set()


async def test_mail_of_an_agent_that_is_gone_waits_for_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "bob")
        await without_bob(desk, tmp_path)
        assert await desk.state(number) == "queued"

        await desk.agents.declare(desk.hive)
        assert [each["id"] for each in await desk.recv("bob")] == [number]


async def test_mail_of_an_agent_that_is_purged_is_dropped_and_its_senders_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DROPPED_AT_ONCE", 3)
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        numbers = [await desk.send(sender, "bob") for sender in ("queen", "operator", "queen")]
        handled = (await desk.recv("bob"))[0]["id"]
        await desk.messages.ack("bob", [handled], in_turn=False)
        kept = await desk.recv("bob")
        await desk.send("bob", "alice")
        await without_bob(desk, tmp_path)
        await purged(desk)

        states = [await desk.state(number) for number in numbers]
        assert states == ["acked", "dropped", "dropped"]
        assert kept[0]["id"] == numbers[1]
        (word,) = await desk.recv("queen", count=9)
        assert word["from"] == "system"
        assert str(numbers[2]) in word["body"]
        assert len(await desk.recv("alice", count=9)) == 1


async def test_more_mail_than_one_commit_drops_is_dropped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DROPPED_AT_ONCE", 2)
    async with a_desk(tmp_path) as desk:
        numbers = [await desk.send("operator", "bob") for _ in range(5)]
        await without_bob(desk, tmp_path)
        await purged(desk)

        assert {await desk.state(number) for number in numbers} == {"dropped"}


async def test_an_agent_of_the_same_name_finds_nothing_of_a_purged_one(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.send("queen", "bob")
        await without_bob(desk, tmp_path)
        await purged(desk)
        await desk.agents.declare(desk.hive)

        assert await desk.recv("bob") == []
        shown = {agent["name"]: agent for agent in (await state_of(desk))["agents"]}
        assert shown["bob"]["inbox"] == {"queued": 0, "leased": 0, "dead": 0}


async def test_a_send_that_is_repeated_is_answered_although_its_receiver_has_left(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("queen", "bob", key="k1")
        await without_bob(desk, tmp_path)

        assert await desk.send("queen", "bob", key="k1") == number
        with pytest.raises(NotFoundError):
            await desk.send("queen", "bob", key="k2")


async def asked(desk: Desk) -> list[int]:
    """Have questions asked: by bob, of bob, and one that does not concern bob."""
    given = (("bob", "operator"), ("bob", "alice"), ("queen", "bob"), ("queen", "alice"))
    return [
        (await desk.questions.ask(an_actor(asker), "Which colour?", to=target))["id"]
        for asker, target in given
    ]


async def states(desk: Desk, numbers: list[int]) -> list[str]:
    return [(await desk.questions.show(number))["state"] for number in numbers]


CLOSED = ["cancelled", "cancelled", "cancelled", "open"]


async def test_questions_of_and_to_an_agent_that_is_gone_are_closed_and_the_others_told(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        numbers = await asked(desk)
        assert await desk.questions.close_gone() == 0

        with desk.store.bus.watch(QUESTIONS) as watch:
            await without_bob(desk, tmp_path)
            assert await watch.wait(0)
        while await desk.questions.close_gone():
            pass

        assert await states(desk, numbers) == CLOSED
        for other, number, what in (
            ("alice", numbers[1], "needs no answer any more"),
            ("queen", numbers[2], "has no answer"),
        ):
            word = (await desk.recv(other, count=9))[-1]["body"]
            assert word.startswith(f"bob is no longer in the hive: question {number} {what}.\n")
            assert '"reason":"bob is no longer in the hive"' in word
        await desk.agents.declare(desk.hive)
        assert (await desk.threads.of("bob"))["threads"] == []


async def test_a_purge_leaves_no_question_open_that_nobody_looked_at_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "CLOSED_AT_ONCE", 1)
    async with a_desk(tmp_path) as desk:
        numbers = await asked(desk)
        await without_bob(desk, tmp_path)
        await purged(desk)

        assert await states(desk, numbers) == CLOSED


async def test_what_a_purged_agent_asked_the_operator_for_is_withdrawn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        proposal = Proposal(ApprovalKind.ACTION, "Delete the branch")
        number = (await desk.approvals.request(an_actor("bob"), proposal))["id"]
        await without_bob(desk, tmp_path)
        await purged(desk)
        await desk.approvals.expire()

        shown = await desk.approvals.show(number)
        assert (shown["state"], shown["note"]) == ("cancelled", "bob is no longer in the hive")


async def state_of(desk: Desk) -> dict[str, list[dict[str, object]]]:
    return await Snapshots(desk.store, desk.agents).state()
