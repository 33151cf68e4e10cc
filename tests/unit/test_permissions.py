"""Permissions: a program's call waits for the operator's yes and uses it once."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.approvals import SHOWN_BYTES_MAX
from hyperhive.services.callers import Caller
from hyperhive.services.permissions import HOLDS_SECONDS, Permissions
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30.0


async def ask(
    desk: Desk,
    command: str = "rm -r old",
    *,
    wait: float = 0.0,
    by: str = "alice",
    caller: Caller | None = None,
    key: str | None = None,
) -> str | None:
    permissions = Permissions(desk.store, desk.approvals, wait_seconds=wait)
    return await permissions.ask(
        an_actor(by), "Bash", {"command": command}, caller=caller or Caller(), key=key
    )


async def approve(desk: Desk, number: int) -> None:
    digest = str((await desk.approvals.show(number))["digest"])
    await desk.approvals.approve(THE_OPERATOR, number, digest, via="test")


async def pending(desk: Desk) -> list[int]:
    page = await desk.approvals.listing()
    return [each["id"] for each in page["approvals"] if each["state"] == "pending"]


@contextmanager
def asking(desk: Desk, **how: float) -> Iterator[asyncio.Task[str | None]]:
    task = asyncio.create_task(ask(desk, wait=how.get("wait", BOUND_SECONDS)))
    try:
        yield task
    finally:
        task.cancel()


async def until_pending(desk: Desk) -> int:
    async with asyncio.timeout(BOUND_SECONDS):
        with desk.store.bus.watch() as watch:
            while not (found := await pending(desk)):
                await watch.wait()
    return found[0]


@promise("A10")
async def test_a_yes_within_the_wait_lets_the_call_through_and_is_not_told_twice(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        with asking(desk) as call:
            number = await until_pending(desk)
            shown = await desk.approvals.show(number)
            assert shown["shown"]["payload"] == {"tool": "Bash", "input": {"command": "rm -r old"}}
            assert (shown["kind"], shown["title"]) == ("action", "Use Bash")
            await approve(desk, number)
            assert await asyncio.wait_for(call, BOUND_SECONDS) is None
        assert (await desk.approvals.show(number))["used_at"] is not None


async def test_a_no_within_the_wait_is_the_calls_answer_with_its_note_and_no_message(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        with asking(desk) as call:
            number = await until_pending(desk)
            await desk.approvals.deny(THE_OPERATOR, number, "not on a Friday", via="test")
            assert await asyncio.wait_for(call, BOUND_SECONDS) == (
                f"Approval {number} was denied by operator: not on a Friday"
            )
        assert await desk.recv("alice") == []


@promise("A10")
async def test_what_is_not_decided_in_time_is_denied_for_now_and_its_later_yes_is_used_once(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        first = await ask(desk)
        assert "approval 1 is pending" in str(first)
        assert await ask(desk) == first
        assert await pending(desk) == [1]
        await approve(desk, 1)
        for number in [each.id for each in await desk.carrying.approved()]:
            await desk.carrying.carry(number)
        (message,) = await desk.recv("alice")
        facts = json.loads(message["body"].removeprefix("approval_resolved "))
        assert (facts["id"], facts["status"]) == (1, "done")

        assert await ask(desk, "rm -r new") is not None
        assert await ask(desk, by="bob") is not None
        assert await ask(desk) is None
        assert "approval 4 is pending" in str(await ask(desk))


@promise("A10")
async def test_two_calls_that_wait_for_one_yes_do_not_both_get_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with asking(desk) as one, asking(desk) as two:
            number = await until_pending(desk)
            async with asyncio.timeout(BOUND_SECONDS):
                while desk.approvals.waited_for[number] < 2:
                    await desk.approvals.show(number)
            await approve(desk, number)
            async with asyncio.timeout(BOUND_SECONDS):
                answers = {await one, await two}
        assert answers == {
            None,
            f"The yes of approval {number} was used by a call like this. Try again to ask anew.",
        }


async def test_the_same_request_sent_again_gets_its_yes_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await ask(desk, key="r1")
        await approve(desk, 1)
        assert await ask(desk, key="r2") is None
        assert await ask(desk, key="r2") is None
        assert "approval 2 is pending" in str(await ask(desk, key="r3"))


async def test_a_yes_that_was_not_used_in_a_day_is_asked_for_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await ask(desk)
        await approve(desk, 1)
        clock.advance(HOLDS_SECONDS)
        assert "approval 2 is pending" in str(await ask(desk))


async def test_a_denied_call_that_is_tried_again_is_asked_for_anew(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await ask(desk)
        await desk.approvals.deny(THE_OPERATOR, 1, "", via="test")
        assert "approval 2 is pending" in str(await ask(desk))


async def test_a_caller_who_has_gone_uses_no_yes_and_gets_a_message(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        caller = Caller()
        call = asyncio.create_task(ask(desk, wait=BOUND_SECONDS, caller=caller))
        number = await until_pending(desk)
        caller.leave()
        assert await asyncio.wait_for(call, BOUND_SECONDS) is not None
        await desk.approvals.deny(THE_OPERATOR, number, "no", via="test")
        assert len(await desk.recv("alice")) == 1
        assert desk.approvals.waited_for == {}


async def test_what_cannot_be_shown_whole_or_is_over_the_quota_is_denied_in_words(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        assert "limit" in str(await ask(desk, "x" * SHOWN_BYTES_MAX))
        for number in range(25):
            await ask(desk, f"rm {number}")
        assert "pending_approvals" in str(await ask(desk, "rm 25"))


@promise("A10")
async def test_a_yes_that_was_used_is_not_there_again_after_a_restore(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await ask(desk)
        await approve(desk, 1)
        backup = await desk.store.backup()
        assert await ask(desk) is None

        await desk.store.restore(backup)

        assert "approval 2 is pending" in str(await ask(desk))


async def test_a_call_that_waits_while_a_backup_is_restored_takes_no_other_yes(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        backup = await desk.store.backup()
        with asking(desk) as call:
            number = await until_pending(desk)
            await desk.store.restore(backup)
            assert "approval 1 is pending" in str(await ask(desk, "rm -r new"))
            assert number == 1
            assert await asyncio.wait_for(call, BOUND_SECONDS) == (
                "A backup of the hive was restored, and what you asked is not in it. "
                "Try the same call again."
            )
