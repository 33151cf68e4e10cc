"""Room on the disk: said when it is short, a pause when it is gone, and both end by themselves."""

from pathlib import Path

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.events import EventKind
from hyperhive.domain.pauses import Cause
from hyperhive.services.callers import Caller
from hyperhive.services.control import Control
from hyperhive.services.disk import GIB, MIB, Disk, Room, bytes_below, is_news, room_of
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import Reading, alerts, events, lifecycle
from tests.builders import Desk, a_desk, a_hive, a_store, wired

pytestmark = pytest.mark.anyio

ENOUGH = Room(100 * GIB, 50 * GIB)
SHORT = Room(100 * GIB, 3 * GIB)
GONE = Room(100 * GIB, 1 * GIB)


class FakeDisk:
    """A disk whose room the test decides."""

    def __init__(self, *rooms: Room) -> None:
        self.rooms = list(rooms)
        self.looked: list[Path] = []

    def __call__(self, path: Path) -> Room:
        self.looked.append(path)
        return self.rooms.pop(0) if len(self.rooms) > 1 else self.rooms[0]


@pytest.mark.parametrize(
    ("room", "is_short", "is_gone"),
    [
        (Room(100 * GIB, 5 * GIB), False, False),
        (Room(100 * GIB, 5 * GIB - 1), True, False),
        (Room(100 * GIB, 2 * GIB), True, False),
        (Room(100 * GIB, 2 * GIB - 1), True, True),
        (Room(4 * GIB, GIB), False, False),
        (Room(4 * GIB, GIB - 1), True, False),
        (Room(4 * GIB, 256 * MIB), True, False),
        (Room(4 * GIB, 256 * MIB - 1), True, True),
    ],
)
def test_room_is_short_and_gone_at_the_larger_of_a_part_and_an_amount(
    room: Room, is_short: bool, is_gone: bool
) -> None:
    assert (room.is_short, room.is_gone) == (is_short, is_gone)


async def standing(desk: Desk) -> dict[str, str]:
    found = await desk.store.read(alerts.standing)
    return {alert["key"]: alert["severity"] for alert in found}


async def is_paused(desk: Desk) -> bool:
    found = await desk.store.read(lifecycle.hive_pauses)
    return [pause.cause for pause in found] == [Cause.DISK]


async def test_room_that_goes_and_comes_raises_pauses_resumes_and_clears(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        disk = Disk(desk.store, desk.agents, FakeDisk(ENOUGH, SHORT, GONE, SHORT, ENOUGH))
        seen = []
        for _ in range(5):
            await disk.look()
            seen.append((await is_paused(desk), (await standing(desk)).get("disk")))

    assert seen == [
        (False, None),
        (False, "warning"),
        (True, "error"),
        (False, "warning"),
        (False, None),
    ]


async def test_without_room_messages_are_taken_and_no_turn_starts(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await Disk(desk.store, desk.agents, FakeDisk(GONE)).look()
        await desk.hello("alice")
        number = await desk.send("queen", "alice")

        assert await desk.state(number) == "queued"
        assert await desk.turns.offer("alice", "s1", wait_seconds=0, caller=Caller()) is None


async def test_a_pause_for_room_ends_when_the_server_comes_back_to_a_disk_with_room(
    tmp_path: Path,
) -> None:
    declared = a_hive(tmp_path, tmp_path / "run")
    async with a_store(tmp_path) as store:
        desk = await wired(store, declared)
        await Disk(store, desk.agents, FakeDisk(GONE)).look()
        assert await is_paused(desk)
    async with a_store(tmp_path) as store:
        desk = await wired(store, declared)
        await Disk(store, desk.agents, FakeDisk(ENOUGH)).look()

        assert not await is_paused(desk)
        assert await standing(desk) == {}


async def test_a_disk_that_stays_as_it_is_causes_no_commit_after_the_first(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        look = FakeDisk(SHORT)
        disk = Disk(desk.store, desk.agents, look)
        await disk.look()
        raised = await desk.store.read(alerts.standing)
        await disk.look()

        assert await desk.store.read(alerts.standing) == raised
        assert look.looked == [tmp_path, tmp_path]


async def test_each_agents_use_is_its_state_and_its_home(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        disk = Disk(desk.store, desk.agents, FakeDisk(ENOUGH))
        state = tmp_path / "agents" / "alice" / "state"
        state.mkdir(parents=True)
        (state / "notes").write_bytes(b"x" * 1000)
        await disk.measure()

        assert disk.use == {"queen": 0, "alice": 1000, "bob": 0}


def test_a_link_counts_as_a_link_and_a_place_that_is_not_there_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "large")

    assert bytes_below(tmp_path / "a") < 10_000
    assert bytes_below(tmp_path / "nowhere") == 0


def test_the_room_of_a_directory_is_that_of_its_disk(tmp_path: Path) -> None:
    assert 0 <= room_of(tmp_path).free <= room_of(tmp_path).total


@pytest.mark.parametrize(
    ("told", "size", "is_it"),
    [
        (None, 0, True),
        (0, MIB - 1, False),
        (0, MIB, True),
        (10 * MIB, 9 * MIB, True),
        (100 * MIB, 104 * MIB, False),
        (100 * MIB, 105 * MIB, True),
    ],
)
def test_a_size_is_told_again_when_it_changed_by_a_mebibyte_and_a_twentieth(
    told: int | None, size: int, is_it: bool
) -> None:
    assert is_news(told, size) is is_it


async def test_what_an_agent_takes_is_in_the_snapshot_and_told_when_it_has_changed(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        disk = Disk(desk.store, desk.agents, FakeDisk(ENOUGH))
        notes = tmp_path / "agents" / "alice" / "state" / "notes"
        notes.parent.mkdir(parents=True)
        for size in (1000, 2000, 2 * MIB):
            notes.write_bytes(b"x" * size)
            await disk.measure()

        assert await told_of(desk, "alice") == [1000, 2 * MIB]
        snapshots = Snapshots(desk.store, desk.agents)
        shown = {each["name"]: each["bytes"] for each in (await snapshots.state())["agents"]}
        assert shown == {"queen": 0, "alice": 2 * MIB, "bob": 0}


async def test_a_tombstone_says_what_its_agent_took_until_it_is_purged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        notes = tmp_path / "homes" / "bob" / "notes"
        notes.parent.mkdir(parents=True)
        notes.write_bytes(b"x" * 3000)
        await Disk(desk.store, desk.agents, FakeDisk(ENOUGH)).measure()
        await desk.agents.declare(a_hive(tmp_path, tmp_path / "run", ("queen", "alice")))

        (stone,) = (await Snapshots(desk.store, desk.agents).state())["tombstones"]
        assert stone["bytes"] == 3000
        control = Control(desk.store, desk.agents, desk.sessions)
        await control.purge(THE_OPERATOR, "bob", via="test")
        await desk.agents.declare(desk.hive)
        shown = (await Snapshots(desk.store, desk.agents).state())["agents"]
        assert {each["name"]: each["bytes"] for each in shown}["bob"] is None


async def told_of(desk: Desk, agent: str) -> list[int]:
    """Give the sizes that were told of an agent, oldest first."""

    def job(asking: Reading) -> list[int]:
        kind = EventKind.AGENT_MEASURED.value
        found = events.before(asking, None, 10, agent=agent, kind=kind)
        return [event.data["bytes"] for event in reversed(found)]

    return await desk.store.read(job)
