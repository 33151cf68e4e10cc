"""A full disk and a database that somebody else holds: an error or a wait, and nothing lost."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from hyperhive.domain.errors import UnavailableError
from hyperhive.store import Reading, Store, engine, tables
from hyperhive.store.store import FILE_NAME
from tests.builders import UNBOUND, Desk, a_desk, a_store
from tests.promises import promise
from tests.store.holding import writer_held

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30.0
BIG = "x" * 16_000


def bodies(asking: Reading) -> dict[int, str]:
    found = asking.execute(select(tables.message.c.id, tables.message.c.body))
    return {row.id: row.body for row in found}


def fill(store: Store, *, pages_left: int) -> None:
    """Let the database grow by so many pages and no more, as a disk that is nearly full does."""
    raw = engine.driver(store._connection)
    (used,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count = {used + pages_left}")


def make_room(store: Store) -> None:
    engine.driver(store._connection).execute("PRAGMA max_page_count = 1000000")


async def sent_until_full(desk: Desk) -> tuple[dict[int, str], UnavailableError]:
    """Send until it is refused; give what was accepted and the refusal."""
    accepted: dict[int, str] = {}
    for number in range(1000):
        body = f"{number} {BIG}"
        try:
            accepted[await desk.send("queen", "alice", body)] = body
        except UnavailableError as error:
            return accepted, error
    raise AssertionError("the disk never became full")


@promise("S1", "S2")
async def test_on_a_full_disk_a_send_is_refused_with_a_remedy_and_what_was_accepted_stays(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        fill(desk.store, pages_left=60)
        accepted, refusal = await sent_until_full(desk)
        seq = desk.store.bus.seq

        assert "full" in refusal.detail
        assert refusal.remedy == "Free some space in stateDir; then send it again."
        assert accepted
        assert await desk.store.read(bodies) == accepted
        make_room(desk.store)
        accepted[await desk.send("queen", "alice", "there is room again")] = "there is room again"
        assert desk.store.bus.seq == seq + 1
        assert await desk.store.read(bodies) == accepted
    async with a_store(tmp_path) as store:
        assert await store.read(bodies) == accepted


@promise("S1")
async def test_of_a_batch_on_a_full_disk_exactly_that_is_stored_whose_sender_was_told_so(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        fill(desk.store, pages_left=40)
        async with writer_held(desk.store):
            sends = [
                asyncio.create_task(desk.send("queen", "alice", f"{number} {BIG}"))
                for number in range(40)
            ]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*sends, return_exceptions=True)

        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert refused
        assert all(isinstance(error, UnavailableError) for error in refused)
        accepted = {a: f"{n} {BIG}" for n, a in enumerate(answers) if isinstance(a, int)}
        assert await desk.store.read(bodies) == accepted


async def test_a_full_disk_stops_no_reader_and_no_lease_of_what_is_there(tmp_path: Path) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        number = await desk.send("queen", "alice", "read me")
        fill(desk.store, pages_left=2)
        with pytest.raises(UnavailableError):
            await desk.send("queen", "alice", BIG)

        assert await desk.state(number) == "queued"
        assert [message["id"] for message in await desk.recv("alice")] == [number]


LIMITED = """
import asyncio, json, resource, sys
from pathlib import Path
from hyperhive.domain.errors import UnavailableError
from tests.builders import UNBOUND, a_desk

async def main(directory):
    accepted, refusals = {}, []
    async with a_desk(directory, hive=UNBOUND) as desk:
        async def send(body):
            accepted[await desk.send("queen", "alice", body)] = body
        await send("before")
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        log = directory / "hive.db-wal"
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 200_000, hard))
        for number in range(100):
            try:
                await send(f"{number} " + "x" * 16000)
            except UnavailableError as error:
                refusals.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await send("after")
    print(json.dumps({"accepted": accepted, "refusals": refusals}))

asyncio.run(main(Path(sys.argv[1])))
"""


@promise("S2")
async def test_files_that_cannot_grow_any_more_refuse_sends_and_lose_nothing(
    tmp_path: Path,
) -> None:
    """The operating system itself refuses to write: the log of the database has a largest size."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LIMITED, str(tmp_path / "hive")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert told["refusals"]
    assert all("The database cannot be used" in refusal for refusal in told["refusals"])
    accepted = {int(number): body for number, body in told["accepted"].items()}
    assert {"before", "after"} <= set(accepted.values())
    async with a_store(tmp_path / "hive") as store:
        assert await store.read(bodies) == accepted


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
sys.stdin.readline()
"""


class Holder:
    """Another process that holds the database until it is told to let go."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._hear("held")

    def let_go(self) -> None:
        self._say()
        self._hear("released")

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"


@contextmanager
def held_by_another_process(path: Path) -> Iterator[Holder]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Holder(process)
        finally:
            process.kill()


async def test_sends_wait_for_another_process_that_holds_the_database_and_then_succeed(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        first = await desk.send("queen", "alice", "0")
        with held_by_another_process(tmp_path / FILE_NAME) as holder:
            sends = [
                asyncio.create_task(desk.send("queen", "alice", str(number)))
                for number in range(1, 20)
            ]
            done, _ = await asyncio.wait(sends, timeout=0.3)
            assert not done
            # Whoever only reads need not wait.
            assert await desk.state(first) == "queued"

            holder.let_go()
            async with asyncio.timeout(BOUND_SECONDS):
                numbers = await asyncio.gather(*sends)

        assert numbers == list(range(2, 21))
        assert await desk.store.read(bodies) == {n: str(n - 1) for n in range(1, 21)}


async def test_a_database_that_is_held_too_long_is_an_error_for_the_whole_batch(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        engine.driver(desk.store._connection).execute("PRAGMA busy_timeout = 50")
        with held_by_another_process(tmp_path / FILE_NAME) as holder:
            answers = await asyncio.gather(
                *(desk.send("queen", "alice", str(number)) for number in range(20)),
                return_exceptions=True,
            )
            assert all(isinstance(answer, UnavailableError) for answer in answers)
            assert "Another process holds the database" in str(answers[0])

            holder.let_go()
            number = await desk.send("queen", "alice", "after")

        assert await desk.store.read(bodies) == {number: "after"}


def test_a_write_waits_for_half_a_minute(tmp_path: Path) -> None:
    connection = engine.Database(tmp_path / FILE_NAME).connect()
    try:
        found = engine.driver(connection).execute("PRAGMA busy_timeout").fetchone()
    finally:
        connection.close()

    assert found == (30_000,)


def test_an_answer_is_on_disk_and_not_only_on_its_way(tmp_path: Path) -> None:
    connection = engine.Database(tmp_path / FILE_NAME).connect()
    try:
        asked = {
            name: engine.driver(connection).execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    finally:
        connection.close()

    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
