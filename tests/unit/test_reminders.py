"""Reminders: what may be asked for, when it comes, where its text goes, and how it is given up."""

import os
from pathlib import Path

import pytest

from hyperhive.domain.errors import ForbiddenError, HiveError, InvalidError, TooLargeError
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


async def remind(desk: Desk, message: str = "look", **given: object) -> int:
    given.setdefault("delay_seconds", 60.0) if "at_unix_timestamp" not in given else None
    answer = await desk.reminders.remind(an_actor("alice"), message, **given)  # type: ignore[arg-type]
    return int(answer["id"])


@promise("W1")
async def test_a_reminder_comes_once_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk)

        assert await desk.deliveries.deliver_due() == 0
        clock.advance(60)
        assert await desk.deliveries.deliver_due() == 1
        assert await desk.deliveries.deliver_due() == 0

        (message,) = await desk.recv("alice", count=32)
        assert (message["from"], message["body"]) == ("reminder", "look")
        assert (await desk.reminders.show(number))["state"] == "delivered"


@promise("W2")
@pytest.mark.parametrize(("delay", "at"), [(None, None), (1.0, 2e9)])
async def test_exactly_one_time_is_taken(
    tmp_path: Path, delay: float | None, at: float | None
) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        with pytest.raises(InvalidError, match="exactly one"):
            await desk.reminders.remind(
                an_actor("alice"), "look", delay_seconds=delay, at_unix_timestamp=at
            )


@promise("W2")
async def test_a_long_text_without_a_file_is_refused_naming_file_path(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        with pytest.raises(TooLargeError, match="file_path"):
            await remind(desk, "x" * 4097)


@promise("W3")
@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "/agents/bob/state/x"])
async def test_a_path_outside_the_own_state_is_refused(tmp_path: Path, path: str) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        with pytest.raises(ForbiddenError, match="file_path"):
            await remind(desk, file_path=path)


@promise("W3")
@pytest.mark.parametrize("trap", ["link", "pipe", "directory", "file", "linked parent"])
async def test_what_stands_in_the_way_brings_the_text_inline(tmp_path: Path, trap: str) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    (state / "notes").mkdir(parents=True)
    target, victim = state / "notes" / "x.md", tmp_path / "victim"
    match trap:
        case "link":
            target.symlink_to(victim)
        case "pipe":
            os.mkfifo(target)
        case "directory":
            target.mkdir()
        case "file":
            target.write_text("mine")
        case _:
            (state / "notes").rmdir()
            (state / "notes").symlink_to(tmp_path)
    async with a_desk(tmp_path, clock=clock) as desk:
        await remind(desk, "the text", file_path="notes/x.md")
        clock.advance(60)
        await desk.deliveries.deliver_due()

        (message,) = await desk.recv("alice")
        assert "which was not done" in message["body"]
        assert message["body"].endswith("the text")
        assert not victim.exists()
        assert not (tmp_path / "x.md").exists()
        assert trap != "file" or target.read_text() == "mine"


@promise("W3")
async def test_a_file_of_an_earlier_reminder_is_replaced_and_pointed_to(tmp_path: Path) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        for text in ("first", "second"):
            await remind(desk, text, file_path="notes/x.md")
            clock.advance(60)
            await desk.deliveries.deliver_due()

            assert (state / "notes" / "x.md").read_text() == text
        bodies = [message["body"] for message in await desk.recv("alice", count=2)]
        assert all("/notes/x.md" in body and "second" not in body for body in bodies)


@promise("W4")
async def test_one_that_fell_due_while_the_hive_was_down_is_marked_late(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await remind(desk, delay_seconds=2.0)
    clock.advance(3)
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.deliveries.deliver_due()

        (message,) = await desk.recv("alice")
        assert message["body"].startswith("[late:")


@promise("W5")
async def test_what_cannot_be_delivered_is_given_up_after_five_attempts_until_retried(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk)
        members = desk.agents.roster
        desk.agents.roster = type(members)({})
        for _ in range(5):
            clock.advance(3600)
            await desk.deliveries.deliver_due()
        shown = await desk.reminders.show(number)
        assert (shown["state"], shown["attempts"]) == ("failed", 5)
        assert "alice" in shown["last_error"]

        desk.agents.roster = members
        await desk.reminders.retry(an_actor("operator"), number, via="test")
        assert await desk.deliveries.deliver_due() == 1
        assert len(await desk.recv("alice", count=32)) == 1


@promise("W6")
async def test_a_burst_is_refused_with_the_quota_and_the_time_to_try_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        for _ in range(10):
            await remind(desk)
        with pytest.raises(HiveError, match="reminders"):
            await remind(desk)


@promise("W7")
async def test_a_recurring_one_waits_for_its_approval_and_comes_once_to_a_busy_agent(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk, repeat_every_seconds=600.0)
        clock.advance(30)
        shown = await desk.reminders.show(number)
        assert shown["state"] == "proposed"
        approval = await desk.approvals.show(shown["approval"])
        await desk.approvals.approve(
            an_actor("operator"), approval["id"], approval["digest"], via="test"
        )
        from hyperhive.domain.approvals import ApprovalKind, Approved

        executor = desk.approvals.executors[ApprovalKind.RECURRING_REMINDER]
        payload = approval["shown"]["payload"]
        await executor.carry_out(
            Approved(approval["id"], ApprovalKind.RECURRING_REMINDER, "alice", "alice", payload, "")
        )
        for _ in range(3):
            clock.advance(600)
            await desk.deliveries.deliver_due()

        assert len(await desk.recv("alice", count=32)) == 1
        assert (await desk.reminders.show(number))["skipped"] == 2


async def test_only_the_owner_the_manager_and_the_operator_cancel(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk)
        with pytest.raises(HiveError, match="no reminder"):
            await desk.reminders.cancel(an_actor("bob"), number, via="mcp")
        await desk.reminders.cancel(an_actor("queen"), number, via="mcp")
        clock.advance(60)
        assert await desk.deliveries.deliver_due() == 0
