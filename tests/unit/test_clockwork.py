"""What rings, what is done then, and what becomes of it when it fails or the hive stops."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperhive.bootstrap.clockwork import ticking
from hyperhive.domain.reminders import BATCH
from hyperhive.scheduling.clockwork import Clockwork
from hyperhive.services.chores import Chore, ChoreLoop, stopped
from hyperhive.services.disk import Disk
from hyperhive.services.stalls import Stalls
from hyperhive.services.upkeep import BACKUP_REASON, Upkeep
from hyperhive.store import Store, alerts
from tests.builders import Desk, ManualClock, a_desk, a_store, an_actor
from tests.promises import promise
from tests.store.holding import writer_held
from tests.surfaces.hives import until

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30.0
HOUR = 3600.0


class Rung:
    """Counts rings, and lets a test wait for one."""

    def __init__(self) -> None:
        self.count = 0
        self._rings = asyncio.Semaphore(0)

    def __call__(self) -> None:
        self.count += 1
        self._rings.release()

    async def wait(self) -> None:
        async with asyncio.timeout(BOUND_SECONDS):
            await self._rings.acquire()


async def test_it_rings_at_the_start_and_at_intervals_and_not_after_its_stop() -> None:
    clockwork, rung, never = Clockwork(), Rung(), Rung()
    clockwork.every("often", 0.02, rung)
    clockwork.every("later", 3600, never, at_start=False)
    clockwork.start()
    for _ in range(3):
        await rung.wait()
    clockwork.stop()
    await asyncio.sleep(0)
    count = rung.count
    await asyncio.sleep(0.1)

    assert (rung.count, never.count) == (count, 0)


async def test_a_time_that_has_passed_rings_and_one_set_anew_replaces_the_one_before() -> None:
    clockwork, rung, replaced, removed = Clockwork(), Rung(), Rung(), Rung()
    clockwork.start()
    clockwork.at("one", time.time() + 3600, replaced)
    clockwork.at("one", time.time() - 3600, rung)
    clockwork.at("two", time.time() + 3600, removed)
    clockwork.at("two", None, removed)
    clockwork.at("none", None, removed)

    await rung.wait()

    assert (replaced.count, removed.count) == (0, 0)
    clockwork.at("far", 1e300, removed)
    assert clockwork.names == {"far"}
    clockwork.stop()


async def alerts_of(store: Store, name: str) -> str | None:
    return await store.read(lambda asking: alerts.text_of(asking, f"chore:{name}"))


@promise("W11")
async def test_a_chore_that_fails_is_an_alert_until_it_has_gone_well(tmp_path: Path) -> None:
    faults: list[Exception] = [ValueError("no room")]
    done = Rung()

    async def do() -> None:
        done()
        if faults:
            raise faults.pop()

    async with a_store(tmp_path) as store:
        loop = ChoreLoop(store, Chore("copying", 3600, do))
        task = asyncio.create_task(loop.run())
        loop.ring()
        await done.wait()

        async def is_told() -> bool:
            return await alerts_of(store, "copying") is not None

        await until(is_told)
        assert "no room" in (await alerts_of(store, "copying") or "")

        loop.ring()
        await done.wait()
        loop.end()
        await stopped([task])

        assert await alerts_of(store, "copying") is None


@promise("W11")
@pytest.mark.parametrize(
    ("loop_of", "step", "pauses"),
    [
        (lambda desk: desk.questions, "expire_due", "questions.LOOK_SECONDS"),
        (lambda desk: desk.carrying, "approved", "carrying.RETRY_SECONDS"),
        (lambda desk: desk.deliveries, "deliver_due", "deliveries.TROUBLE_SECONDS"),
        (lambda desk: Disk(desk.store, desk.agents), "look", "disk.LOOK_SECONDS"),
        (
            lambda desk: Stalls(desk.store, desk.agents, desk.sessions, desk.turns),
            "look",
            "stalls.LOOK_SECONDS",
        ),
    ],
    ids=["questions", "approvals", "reminders", "disk", "stalls"],
)
async def test_what_fails_in_a_loop_of_its_own_is_an_alert_until_it_has_gone_well(
    loop_of: Callable[[Desk], Any],
    step: str,
    pauses: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    name = request.node.callspec.id
    monkeypatch.setattr(f"hyperhive.services.{pauses}", 0.01)
    async with a_desk(tmp_path) as desk:
        loop = loop_of(desk)
        done, is_broken = getattr(type(loop), step), True

        async def fail(self: Any) -> Any:
            if is_broken:
                raise ValueError("no room")
            return await done(self)

        monkeypatch.setattr(type(loop), step, fail)
        running = loop.run(0.01) if isinstance(loop, Stalls) else loop.run()
        task = asyncio.create_task(running)

        async def is_told() -> bool:
            return await alerts_of(desk.store, name) is not None

        async def is_over() -> bool:
            return not await is_told()

        await until(is_told)
        assert "no room" in (await alerts_of(desk.store, name) or "")
        is_broken = False
        await until(is_over)
        task.cancel()
        await asyncio.wait([task])


async def test_one_that_is_rung_while_it_works_is_done_once_more(tmp_path: Path) -> None:
    done, go = Rung(), asyncio.Event()

    async def do() -> None:
        done()
        await go.wait()

    async with a_store(tmp_path) as store:
        loop = ChoreLoop(store, Chore("copying", 3600, do))
        task = asyncio.create_task(loop.run())
        loop.ring()
        await done.wait()
        for _ in range(5):
            loop.ring()
        go.set()
        await done.wait()
        loop.end()
        await stopped([task])

    assert done.count == 2


@promise("W11")
async def test_a_chore_is_done_also_when_the_clock_that_rings_was_set_back(tmp_path: Path) -> None:
    done = Rung()

    async def do() -> None:
        done()

    async with a_store(tmp_path) as store:
        loop = ChoreLoop(store, Chore("copying", 0.01, do))
        task = asyncio.create_task(loop.run())
        for _ in range(3):
            await done.wait()
        loop.end()
        await stopped([task])


async def test_stopping_finishes_what_is_under_way_and_cuts_off_what_takes_too_long(
    tmp_path: Path,
) -> None:
    begun, finished, go = Rung(), Rung(), asyncio.Event()

    async def quick() -> None:
        begun()
        await go.wait()
        finished()

    async def endless() -> None:
        begun()
        await asyncio.Event().wait()

    async with a_store(tmp_path) as store:
        loops = [ChoreLoop(store, Chore(do.__name__, 3600, do)) for do in (quick, endless)]
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        for loop in loops:
            loop.ring()
            await begun.wait()
            loop.end()
        go.set()
        async with asyncio.timeout(BOUND_SECONDS):
            await stopped(tasks[:1], BOUND_SECONDS)
            await stopped(tasks[1:], 0.05)

        assert finished.count == 1
        assert [task.cancelled() for task in tasks] == [False, True]


async def test_a_credential_that_is_missing_or_empty_is_an_alert_until_it_is_there(
    tmp_path: Path,
) -> None:
    key, other = tmp_path / "key", tmp_path / "other"
    other.write_text("here\n")
    declared = {"credentials": {"API_KEY": str(key), "OTHER": str(other)}}
    async with a_desk(tmp_path / "state", alice=declared) as desk:
        upkeep = Upkeep(desk.store, desk.messages)
        said = []
        for content in (None, "\n", "sk-secret\n"):
            if content is not None:
                key.write_text(content)
            for _ in range(2):
                await upkeep.look_at_the_credentials()
            said.append([each["text"] for each in await desk.store.read(alerts.standing)])

    assert [[text.partition("(")[2].partition(")")[0] for text in texts] for texts in said] == [
        [f"{key}: no such file or directory"],
        [f"{key}: it is empty"],
        [],
    ]
    assert "`hyperhive login alice`" in said[0][0]


def scheduled(desk: Desk) -> list[Path]:
    return desk.store.backups(BACKUP_REASON)


async def looked(desk: Desk, upkeep: Upkeep) -> Path | None:
    """Look at the backups; give the new one, dated by the test's clock."""
    before = set(scheduled(desk))
    await upkeep.look_at_the_backups()
    new = {*scheduled(desk)} - before
    for path in new:
        os.utime(path, (desk.clock(), desk.clock()))
    assert len(new) <= 1
    return next(iter(new), None)


@promise("W12")
async def test_the_database_is_copied_as_often_as_declared_and_the_newest_stay(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    declared = {"backups": {"everyHours": 2, "keep": 2}}
    async with a_desk(tmp_path, clock=clock, hive=declared) as desk:
        by_hand = await desk.store.backup("asked")
        upkeep = Upkeep(desk.store, desk.messages)
        made = [await looked(desk, upkeep)]
        clock.advance(2 * HOUR - 1)
        assert await looked(desk, upkeep) is None
        for _ in range(3):
            clock.advance(2 * HOUR)
            made.append(await looked(desk, upkeep))

        assert None not in made
        assert {*scheduled(desk)} == {*made[-2:]}
        assert by_hand.exists()


@promise("W12")
async def test_a_clock_that_was_wrong_for_a_while_makes_neither_many_copies_nor_none(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    declared = {"backups": {"everyHours": 2, "keep": 3}}
    async with a_desk(tmp_path, clock=clock, hive=declared) as desk:
        upkeep = Upkeep(desk.store, desk.messages)
        first = await looked(desk, upkeep)
        clock.advance(1e6)
        wrong = await looked(desk, upkeep)
        clock.advance(-1e6 + 60)

        assert [await looked(desk, upkeep) for _ in range(5)] == [None] * 5
        clock.advance(2 * HOUR)
        second = await looked(desk, upkeep)
        clock.advance(2 * HOUR)
        third = await looked(desk, upkeep)

        assert {*scheduled(desk)} == {first, second, third}
        assert wrong is not None


async def test_no_copy_is_made_where_none_is_to_be_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path, hive={"backups": {"keep": 0}}) as desk:
        assert await looked(desk, Upkeep(desk.store, desk.messages)) is None


@promise("W8")
async def test_a_stop_finishes_the_batch_that_is_under_way_and_leaves_the_rest_for_later(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    free = {"quotas": {"reminderBurst": 1000, "pendingReminders": 1000}}
    async with a_desk(tmp_path, clock=clock, hive=free) as desk:
        for n in range(2 * BATCH):
            await desk.reminders.remind(an_actor("alice"), f"text {n}", delay_seconds=60)
        async with ticking(desk.store, (), desk.deliveries), writer_held(desk.store):
            clock.advance(60)
            desk.deliveries.wake()

            async def is_queued() -> bool:
                return not desk.store._writer._queue.empty()

            await until(is_queued)
            desk.deliveries.end()

        counts = (await desk.reminders.page())["counts"]["alice"]
        assert counts == {"pending": BATCH, "failed": 0}
    async with a_desk(tmp_path, clock=clock, hive=free) as desk:
        assert await desk.deliveries.deliver_due() == BATCH
