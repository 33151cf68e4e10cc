"""Reminders: what may be asked for, when it comes, where its text goes, and how it is given up."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hyperhive.domain import reminders as rules
from hyperhive.domain.errors import (
    ForbiddenError,
    HiveError,
    InvalidError,
    QuotaUsedError,
    TooLargeError,
)
from hyperhive.services.deliveries import Deliveries
from hyperhive.services.upkeep import Upkeep
from hyperhive.store import Row
from hyperhive.store.reminders import TEXTS_OF_A_FILE
from hyperhive.store.retention import DAY_SECONDS
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


async def remind(desk: Desk, message: str = "look", **given: object) -> int:
    given.setdefault("delay_seconds", 60.0) if "at_unix_timestamp" not in given else None
    answer = await desk.reminders.remind(an_actor("alice"), message, **given)  # type: ignore[arg-type]
    return int(answer["id"])


async def approve(desk: Desk, number: int) -> None:
    """Say yes to an approval and have it carried out."""
    approval = await desk.approvals.show(number)
    digest = approval["digest"]
    await desk.approvals.approve(an_actor("operator"), number, digest, via="test")
    await desk.carrying.carry(number)


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
        with pytest.raises(TooLargeError, match=r"\(quotas.reminderBytes\).*file_path"):
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


async def delivered(desk: Desk) -> list[str]:
    """Deliver what is due and give what comes of it."""
    await desk.deliveries.deliver_due()
    return [message["body"] for message in await desk.recv("alice", count=32)]


@promise("W3")
async def test_two_with_the_same_file_at_the_same_time_write_it_one_after_the_other(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        for text in ("first", "second"):
            await remind(desk, text, file_path="todo.md", delay_seconds=60.0)
        clock.advance(60)

        bodies = await delivered(desk)

        assert [body.split(" (")[0] for body in bodies] == [
            f"Your reminder {number} is in {state}/todo.md" for number in (1, 2)
        ]
        assert (state / "todo.md").read_text() == "second"


@promise("W3")
async def test_the_last_that_wrote_is_known_whatever_the_order_in_which_they_were_set(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        await remind(desk, "set first", file_path="x.md", delay_seconds=1000.0)
        for n in range(TEXTS_OF_A_FILE):
            await remind(desk, f"short {n}", file_path="x.md", delay_seconds=10.0 * n + 1)
        await remind(desk, "the last", file_path="x.md", delay_seconds=2000.0)
        bodies = []
        for seconds in (*[10] * TEXTS_OF_A_FILE, 1000, 1000):
            clock.advance(seconds)
            bodies += await delivered(desk)

        assert not [body for body in bodies if "which was not done" in body]
        assert (state / "x.md").read_text() == "the last"


@promise("W3")
async def test_a_file_is_replaced_also_when_its_reminder_is_long_past_and_the_others_are_gone(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        for text, path in (("one", "x.md"), ("two", "x.md"), ("its own", "auto"), ("inline", None)):
            await remind(desk, text, file_path=path)
            clock.advance(60)
            await delivered(desk)
        late = await remind(desk, "much later", file_path="x.md", delay_seconds=40 * DAY_SECONDS)
        clock.advance(40 * DAY_SECONDS)

        await Upkeep(desk.store, desk.messages).retain(desk.hive)

        left = [row["id"] for row in (await desk.reminders.page())["reminders"]]
        assert left == [late, 2]
        assert f"is in {state}/x.md" in (await delivered(desk))[0]
        assert (state / "x.md").read_text() == "much later"


@promise("W3")
async def test_a_file_of_one_that_was_cancelled_meanwhile_is_known_as_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    state = tmp_path / "agents" / "alice" / "state"
    state.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk, "first", file_path="x.md")
        clock.advance(60)
        write = Deliveries._write_files

        async def then_cancelled(self: Deliveries, wanted: Sequence[Row]) -> dict[int, str | None]:
            outcomes = await write(self, wanted)
            await desk.reminders.cancel(an_actor("alice"), number, via="mcp")
            return outcomes

        with monkeypatch.context() as patched:
            patched.setattr(Deliveries, "_write_files", then_cancelled)
            assert await delivered(desk) == []
        shown = await desk.reminders.show(number)
        assert (shown["state"], shown["written"]) == ("cancelled", "x.md")

        await remind(desk, "second", file_path="x.md")
        clock.advance(60)
        await delivered(desk)
        assert (state / "x.md").read_text() == "second"


@promise("W7")
async def test_a_time_that_is_left_out_writes_no_file(tmp_path: Path) -> None:
    clock = ManualClock()
    file = tmp_path / "agents" / "alice" / "state" / "x.md"
    file.parent.mkdir(parents=True)
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await remind(desk, file_path="x.md", repeat_every_seconds=600.0)
        await approve(desk, (await desk.reminders.show(number))["approval"])
        clock.advance(60)
        await desk.deliveries.deliver_due()
        file.unlink()

        clock.advance(600)
        await desk.deliveries.deliver_due()

        assert not file.exists()
        assert (await desk.reminders.show(number))["skipped"] == 1


@promise("W10")
async def test_a_flood_of_one_agents_reminders_holds_up_no_other_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BATCH", 4)
    clock, free = ManualClock(), {"quotas": {"reminderBurst": 100}}
    async with a_desk(tmp_path, clock=clock, hive=free) as desk:
        for n in range(20):
            await remind(desk, f"flood {n}", delay_seconds=10.0)
        for agent in ("bob", "queen"):
            await desk.reminders.remind(an_actor(agent), "ordinary", delay_seconds=20.0)
        clock.advance(20)

        assert await desk.deliveries.deliver_due() == 22

        page = await desk.messages.page(before=None, limit=100, agent=None, state=None)
        order = [message["to"] for message in page["messages"]][::-1]
        assert sorted(order[:4]) == ["alice", "alice", "bob", "queen"]
        bodies = [message["body"] for message in await desk.recv("alice", count=32)]
        assert [body.rsplit("\n")[-1] for body in bodies] == [f"flood {n}" for n in range(20)]


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


@promise("W6")
async def test_room_is_promised_for_when_one_ends_that_does_not_recur(tmp_path: Path) -> None:
    two = {"quotas": {"pendingReminders": 2}}
    async with a_desk(tmp_path, clock=ManualClock(), hive=two) as desk:
        recurring = await remind(desk, delay_seconds=30.0, repeat_every_seconds=600.0)
        await approve(desk, (await desk.reminders.show(recurring))["approval"])
        await remind(desk, delay_seconds=90.0)

        with pytest.raises(QuotaUsedError) as refused:
            await remind(desk)

        assert refused.value.frees_in_seconds == pytest.approx(90)


@pytest.mark.parametrize("text", ["Überlauf", "ÜBERLAUF", "überlauf", "STRASSE"])
async def test_a_text_is_found_whatever_the_case_of_its_letters(tmp_path: Path, text: str) -> None:
    async with a_desk(tmp_path, clock=ManualClock()) as desk:
        wanted = await remind(desk, "Der Überlauf in der Straße")
        await remind(desk, "something else")

        found = (await desk.reminders.page(text=text))["reminders"]

        assert [row["id"] for row in found] == [wanted]


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
        await approve(desk, shown["approval"])
        for _ in range(3):
            clock.advance(600)
            await desk.deliveries.deliver_due()

        received = [message["from"] for message in await desk.recv("alice", count=32)]
        assert received.count("reminder") == 1
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
