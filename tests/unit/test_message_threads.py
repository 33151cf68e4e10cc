"""A message that nobody has seen can be taken back; one that somebody has seen cannot."""

from pathlib import Path

import pytest

from hyperhive.domain.errors import ConflictError, NotFoundError
from hyperhive.store import audit
from tests.builders import Desk, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


async def withdraw(desk: Desk, who: str, number: int) -> str:
    done = await desk.threads.cancel(an_actor(who), "message", number, via="test")
    assert done["id"] == number
    return str(done["state"])


@promise("Q7")
@pytest.mark.parametrize("who", ["alice", "queen", "operator"])
async def test_a_message_that_nobody_has_seen_is_taken_back(tmp_path: Path, who: str) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("alice", "bob", "never mind")

        assert await withdraw(desk, who, number) == "dropped"

        assert await desk.recv("bob") == []
        assert (await desk.threads.of("alice"))["threads"] == []
        status = await desk.messages.status(an_actor("alice"), number)
        assert status["says"] == f"It was withdrawn by {who}, before bob saw it."
        told = [each["body"] for each in await desk.recv("alice", count=9)]
        word = f"{who} withdrew your message 1 to bob, unseen."
        assert told == ([] if who == "alice" else [word])


async def test_the_operators_hand_is_in_the_audit_log(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await withdraw(desk, "operator", await desk.send("alice", "bob"))
        found = await desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))
        assert [(each["verb"], each["subject"]) for each in found] == [("withdraw", "message:1")]


async def test_taking_back_again_changes_nothing_and_tells_nobody(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("alice", "bob")
        await withdraw(desk, "operator", number)
        before = desk.store.bus.seq

        for who in ("operator", "alice", "queen"):
            assert await withdraw(desk, who, number) == "dropped"

        assert desk.store.bus.seq == before


async def test_what_somebody_may_have_acted_on_is_not_taken_back(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("alice", "bob")
        turn = await desk.turn("bob")
        with pytest.raises(ConflictError, match=r"bob may have seen it \(it is leased\)"):
            await withdraw(desk, "alice", number)
        await desk.end("bob", turn["id"], "failed")
        with pytest.raises(ConflictError, match="it is queued again"):
            await withdraw(desk, "operator", number)


async def test_nobody_takes_back_what_another_sent(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await desk.send("alice", "bob")
        mine = await desk.send("operator", "bob")
        for who, which in (("bob", number), ("bob", mine), ("queen", mine), ("alice", 99)):
            with pytest.raises(NotFoundError, match="message of yours"):
                await withdraw(desk, who, which)
