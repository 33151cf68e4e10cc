"""Reminders through crashes, full disks, a locked database, moving clocks and a hostile agent."""

import asyncio
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from hyperhive.domain.errors import UnavailableError
from hyperhive.services import deliveries, reminder_files
from hyperhive.services.reminder_files import NotWrittenError
from hyperhive.store import engine
from hyperhive.store.store import FILE_NAME
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.faults.reminders_killed import DUE_AT, POINTS
from tests.faults.reminders_on_disk import TEXT
from tests.faults.test_full_disk import fill, held_by_another_process, make_room
from tests.promises import promise
from tests.surfaces.hives import until

pytestmark = pytest.mark.anyio

BOUND_SECONDS: Final = 30.0
FREE: Final = {"quotas": {"reminderBurst": 10_000, "pendingReminders": 10_000}}
COUNT: Final = 9
HELD_SECONDS: Final = 10.0


async def remind(desk: Desk, text: str, **given: Any) -> int:
    given.setdefault("delay_seconds", 60.0)
    return int((await desk.reminders.remind(an_actor("alice"), text, **given))["id"])


async def bodies(desk: Desk) -> list[str]:
    """Give all that alice is given from now on, the oldest first."""
    return [str(message["body"]) for message in await desk.recv("alice", count=32)]


def state_of_alice(directory: Path) -> Path:
    state = directory / "agents" / "alice" / "state"
    state.mkdir(parents=True, exist_ok=True)
    return state


@asynccontextmanager
async def delivering(desk: Desk) -> AsyncIterator[None]:
    """Run the loop that delivers until the block is left."""
    task = asyncio.create_task(desk.deliveries.run())
    try:
        yield
    finally:
        desk.deliveries.end()
        async with asyncio.timeout(BOUND_SECONDS):
            await task


async def until_delivered(desk: Desk, numbers: list[int]) -> None:
    async def are_delivered() -> bool:
        return all([(await desk.reminders.show(n))["state"] == "delivered" for n in numbers])

    await until(are_delivered)


@promise("W1", "W8")
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_any_point_of_a_delivery_loses_none_repeats_none_and_leaves_none_stuck(
    tmp_path: Path, point: str, nth: int
) -> None:
    state = state_of_alice(tmp_path)
    async with a_desk(tmp_path, clock=ManualClock(), hive=FREE) as desk:
        numbers = [
            await remind(desk, f"text {n}", file_path=f"notes/{n}.md" if n % 3 else None)
            for n in range(COUNT)
        ]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.faults.reminders_killed", str(tmp_path), point, str(nth)],
        cwd=Path(__file__).parents[2],
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL

    async with a_desk(tmp_path, clock=ManualClock(DUE_AT + 1), hive=FREE) as desk:
        await desk.deliveries.deliver_due()

        got = await bodies(desk)
        assert len(got) == COUNT
        for n, number in enumerate(numbers):
            shown = await desk.reminders.show(number)
            assert (shown["state"], shown["deliveries"]) == ("delivered", 1)
            if n % 3:
                assert (state / "notes" / f"{n}.md").read_text() == f"text {n}"
                assert sum(f"/notes/{n}.md" in body for body in got) == 1
            else:
                assert sum(body.endswith(f"text {n}") for body in got) == 1
        assert sorted(path.name for path in (state / "notes").iterdir()) == [
            f"{n}.md" for n in range(COUNT) if n % 3
        ]


@promise("W3")
@pytest.mark.parametrize(
    ("call", "number", "said"),
    [
        ("write", errno.ENOSPC, "no space left on device"),
        ("open", errno.EROFS, "read-only file system"),
        ("fsync", errno.EIO, "input/output error"),
    ],
)
async def test_a_disk_that_takes_no_file_brings_the_text_inline_and_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, said: str
) -> None:
    state, clock = state_of_alice(tmp_path), ManualClock()
    original = getattr(os, call)

    def failing(*given: Any, **named: Any) -> Any:
        if call != "open" or given[1] & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return original(*given, **named)

    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        reminder = await remind(desk, "the text", file_path="x.md")
        clock.advance(60)
        with monkeypatch.context() as patched:
            # Only the module's view: SQLite and Python go on.
            patched.setattr(reminder_files, "os", Calls(call, failing))
            assert await desk.deliveries.deliver_due() == 1

        (body,) = await bodies(desk)
        assert said in body
        assert body.endswith("the text")
        assert said in (await desk.reminders.show(reminder))["last_error"]
        assert not list(state.iterdir())


@promise("W3")
@pytest.mark.parametrize(
    ("disk", "said", "left"),
    [
        ("full", "no space left on device", ["ballast"]),
        ("read-only", "read-only file system", []),
    ],
)
def test_a_real_disk_that_takes_no_file_brings_the_text_inline(
    tmp_path: Path, disk: str, said: str, left: list[str]
) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.faults.reminders_on_disk", str(tmp_path), disk],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    (body,) = told["bodies"]
    assert said in body
    assert body.endswith(TEXT)
    assert (told["shown"]["state"], told["shown"]["deliveries"]) == ("delivered", 1)
    assert said in told["shown"]["last_error"]
    assert told["files"] == left


class Calls:
    """The module `os` with one call replaced."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self._replaced = {name: call}

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(os, name)


SWAPS: Final = ("parent made", "parent opened", "name looked at", "earlier looked at")


@promise("W3")
@pytest.mark.parametrize("moment", SWAPS)
async def test_a_directory_or_name_swapped_for_a_link_between_check_and_write_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    state, victim = state_of_alice(tmp_path), tmp_path / "victim"
    victim.mkdir()
    (victim / "x.md").write_text("of the victim")
    notes, earlier = state / "notes", []
    if moment == "earlier looked at":
        notes.mkdir()
        (notes / "x.md").write_text("before")
        earlier = ["before"]

    def swap() -> None:
        if "parent" in moment:
            notes.rename(state / "aside")
            notes.symlink_to(victim)
        else:
            (notes / "x.md").unlink(missing_ok=True)
            (notes / "x.md").symlink_to(victim / "x.md")

    def then_swapped(name: str, *, first: bool) -> None:
        original = getattr(reminder_files, name)

        def swapping(*given: Any, **named: Any) -> Any:
            if first:
                swap()
                return original(*given, **named)
            found = original(*given, **named)
            swap()
            return found

        monkeypatch.setattr(reminder_files, name, swapping)

    if moment == "parent made":
        original = os.mkdir

        def mkdir(*given: Any, **named: Any) -> None:
            original(*given, **named)
            swap()

        monkeypatch.setattr(reminder_files, "os", Calls("mkdir", mkdir))
    elif moment == "parent opened":
        then_swapped("_put", first=True)
    else:
        then_swapped("_present", first=False)

    refused = None
    try:
        reminder_files.write(tmp_path, "alice", "notes/x.md", "the text", earlier, part=".part")
    except NotWrittenError as error:
        refused = str(error)

    assert {path.name: path.read_text() for path in victim.iterdir()} == {"x.md": "of the victim"}
    assert not list(state.rglob(".part"))
    match moment:
        case "parent made":
            assert refused == "a component of the path is a link or no directory."
        case "parent opened":
            assert (state / "aside" / "x.md").read_text() == "the text"
        case "name looked at":
            assert refused == "something else has come into its place."
        case _:
            assert not (notes / "x.md").is_symlink()
            assert (notes / "x.md").read_text() == "the text"


@promise("W3")
def test_an_agent_that_swaps_directories_all_the_time_never_has_a_file_written_elsewhere(
    tmp_path: Path,
) -> None:
    state, victim = state_of_alice(tmp_path), tmp_path / "victim"
    victim.mkdir()
    notes, over = state / "notes", threading.Event()

    def attack() -> None:
        for n in itertools.count():
            if over.is_set():
                return
            # The writer makes the directory anew whenever it is missing.
            with suppress(OSError):
                notes.symlink_to(victim)
                notes.unlink()
            with suppress(OSError):
                notes.rename(state / f"was-{n}")

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        for n in range(400):
            with suppress(NotWrittenError):
                reminder_files.write(
                    tmp_path, "alice", f"notes/{n}.md", "the text", [], part=".part"
                )
    finally:
        over.set()
        attacker.join(BOUND_SECONDS)

    assert not list(victim.iterdir())


@promise("W8")
async def test_a_full_disk_of_the_database_holds_reminders_up_and_loses_none(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        numbers = [await remind(desk, "x" * 4000) for _ in range(30)]
        clock.advance(60)
        fill(desk.store, pages_left=4)
        with pytest.raises(UnavailableError):
            await desk.deliveries.deliver_due()
        assert {(await desk.reminders.show(n))["attempts"] for n in numbers} == {0}

        make_room(desk.store)
        await desk.deliveries.deliver_due()

        assert len(await bodies(desk)) == len(numbers)


@promise("W8")
async def test_a_database_that_another_process_holds_delays_reminders_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "TROUBLE_SECONDS", 0.01)
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        numbers = [await remind(desk, f"text {n}") for n in range(COUNT)]
        engine.driver(desk.store._connection).execute("PRAGMA busy_timeout = 50")
        with held_by_another_process(tmp_path / FILE_NAME) as holder:
            refusals = _refusals_of(desk, monkeypatch)
            clock.advance(60)
            async with delivering(desk):
                async with asyncio.timeout(BOUND_SECONDS):
                    await refusals.acquire()
                    await refusals.acquire()
                holder.let_go()
                await until_delivered(desk, numbers)

        assert [body[-6:] for body in await bodies(desk)] == [f"text {n}" for n in range(COUNT)]


@promise("W8")
async def test_ten_seconds_of_a_database_that_another_process_holds_lose_and_repeat_none(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        numbers = [await remind(desk, f"text {n}") for n in range(COUNT)]
        with held_by_another_process(tmp_path / FILE_NAME) as holder:
            clock.advance(60)
            async with delivering(desk):
                await asyncio.sleep(HELD_SECONDS)
                assert {(await desk.reminders.show(n))["state"] for n in numbers} == {"pending"}
                holder.let_go()
                await until_delivered(desk, numbers)

        assert [(await desk.reminders.show(n))["deliveries"] for n in numbers] == [1] * COUNT
        assert [body[-6:] for body in await bodies(desk)] == [f"text {n}" for n in range(COUNT)]


def _refusals_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Count the attempts to deliver that found the database unusable."""
    refusals, original = asyncio.Semaphore(0), desk.deliveries.deliver_due

    async def deliver_due() -> int:
        try:
            return await original()
        except UnavailableError:
            refusals.release()
            raise

    monkeypatch.setattr(desk.deliveries, "deliver_due", deliver_due)
    return refusals


@promise("W9")
async def test_a_clock_that_jumps_forwards_delivers_at_once_what_is_due_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LOOK_SECONDS", 0.01)
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk, delivering(desk):
        soon, later = await remind(desk, "soon"), await remind(desk, "later", delay_seconds=7200.0)
        clock.advance(3600)

        await until_delivered(desk, [soon])

        assert (await desk.reminders.show(later))["state"] == "pending"
        assert (await desk.reminders.show(soon))["late"] is True


@promise("W9")
async def test_a_clock_that_is_set_back_repeats_none_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LOOK_SECONDS", 0.01)
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk, delivering(desk):
        first = await remind(desk, "first")
        second = await remind(desk, "second", delay_seconds=120.0)
        clock.advance(60)
        await until_delivered(desk, [first])

        clock.advance(-86400)
        third = await remind(desk, "third", delay_seconds=1.0)
        clock.advance(1)
        await until_delivered(desk, [third])
        assert (await desk.reminders.show(second))["state"] == "pending"
        clock.advance(86400 + 60)
        await until_delivered(desk, [second])

        assert {(await desk.reminders.show(n))["deliveries"] for n in (first, second, third)} == {1}
        assert [body.rsplit("\n")[-1] for body in await bodies(desk)] == [
            "first",
            "third",
            "second",
        ]


async def test_a_clock_set_back_while_a_batch_is_under_way_delivers_it_when_it_is_due_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        await remind(desk, "the text")
        clock.advance(60)
        original = desk.deliveries._write_files

        async def set_back(batch: Any) -> Any:
            clock.advance(-30)
            return await original(batch)

        with monkeypatch.context() as patched:
            patched.setattr(type(desk.deliveries), "_write_files", lambda _, b: set_back(b))
            assert await desk.deliveries.deliver_due() == 0
        clock.advance(30)
        assert await desk.deliveries.deliver_due() == 1


async def test_an_agents_state_that_is_missing_brings_the_text_inline(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock, hive=FREE) as desk:
        await remind(desk, "the text", file_path="auto")
        shutil.rmtree(tmp_path / "agents", ignore_errors=True)
        clock.advance(60)
        await desk.deliveries.deliver_due()

        (body,) = await bodies(desk)
        assert "no such file or directory" in body
        assert body.endswith("the text")
