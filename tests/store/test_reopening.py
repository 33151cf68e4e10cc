"""What a server finds that was not closed: everything accepted, and nothing half done."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from hyperhive.store import Reading, Writing, tables
from hyperhive.store.messages import Draft, add
from tests.builders import a_desk, a_store, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


def bodies(asking: Reading) -> list[str]:
    return list(asking.execute(select(tables.message.c.body)).scalars())


@promise("M1", "S2")
async def test_after_a_crash_in_the_middle_of_a_commit_the_accepted_is_there_and_only_that(
    tmp_path: Path,
) -> None:
    """The files are taken as the disk has them while a transaction is under way."""
    hive, crashed = tmp_path / "hive", tmp_path / "crashed"
    async with a_desk(hive) as desk:
        accepted = {await desk.send("queen", "alice", f"accepted {number}") for number in range(50)}
        written, go = threading.Event(), threading.Event()

        def half_done(work: Writing) -> None:
            # Enough to make SQLite write pages of it to the log before the commit.
            for _ in range(2000):
                add(work, Draft(an_actor("queen"), "alice", "never accepted " * 300))
            written.set()
            assert go.wait(20)

        under_way = asyncio.ensure_future(desk.store.write(half_done))
        assert await asyncio.to_thread(written.wait, 20)
        shutil.copytree(hive, crashed)
        go.set()
        await under_way

    async with a_store(crashed) as store:
        found = await store.read(bodies)
        assert len(found) == len(accepted)
        assert all(body.startswith("accepted") for body in found)


@promise("M1")
async def test_a_message_is_there_however_early_after_its_answer_the_server_dies(
    tmp_path: Path,
) -> None:
    hive = tmp_path / "hive"
    async with a_desk(hive) as desk:
        for number in range(5):
            await desk.send("queen", "alice", f"m{number}")
            shutil.copytree(hive, tmp_path / f"crashed{number}")

    for number in range(5):
        async with a_store(tmp_path / f"crashed{number}") as store:
            assert await store.read(bodies) == [f"m{n}" for n in range(number + 1)]
