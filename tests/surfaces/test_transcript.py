"""A turn's transcript as it is written, and what agents used over time."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from hyperhive.domain.errors import NotFoundError
from hyperhive.services.logins import Logins
from hyperhive.services.snapshot import SPANS
from hyperhive.store import tables
from hyperhive.surfaces.http.stream import transcript
from tests.builders import EPOCH, ManualClock
from tests.promises import promise
from tests.surfaces.hives import Whole, a_harness, a_whole_hive
from tests.surfaces.test_api import a_turn

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock) as whole:
        yield whole


def following(hive: Whole, turn: int, after: int = -1) -> AsyncIterator[bytes]:
    """Follow a turn as a client does."""
    run = hive.run
    return transcript(run.store, run.turns, turn, after, Logins(run.store, None))


def told(piece: bytes) -> tuple[str, Any]:
    """Give the name and the data of a server-sent event."""
    name, data = piece.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def line(n: int) -> dict[str, Any]:
    """Give a line of a transcript."""
    return {"n": n, "at": EPOCH, "kind": "text", "data": {"text": f"line {n}"}}


@promise("G2")
async def test_a_line_is_told_when_it_is_written_and_the_end_when_it_comes(hive: Whole) -> None:
    await hive.admin.send("alice")
    box = hive.box("alice")
    async with a_harness(box), asyncio.timeout(20):
        offered = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
        turn = int(offered["id"])
        await box.harness(f"turns/{turn}/begin", session="session-1")
        live = following(hive, turn)
        for n in range(2):
            waiting = asyncio.ensure_future(anext(live))
            await box.harness(f"turns/{turn}/events", session="session-1", events=[line(n)])
            name, data = told(await waiting)
            assert (name, [each["n"] for each in data["events"]]) == ("lines", [n])
        waiting = asyncio.ensure_future(anext(live))
        await box.harness(f"turns/{turn}/end", session="session-1", outcome="ok")

        assert told(await waiting) == ("end", {"turn": turn})


async def test_a_line_of_a_kind_that_this_version_does_not_know_is_kept_with_its_batch(
    hive: Whole,
) -> None:
    await hive.admin.send("alice")
    box = hive.box("alice")
    async with a_harness(box):
        offered = (await box.harness("work", session="session-1", wait_seconds=5)).json()["turn"]
        turn = int(offered["id"])
        await box.harness(f"turns/{turn}/begin", session="session-1")
        picture = {**line(1), "kind": "picture"}
        lines = [line(0), picture, line(2)]

        await box.harness(f"turns/{turn}/events", session="session-1", events=lines)

        assert (await hive.run.turns.transcript(turn, after=-1, limit=9))["events"] == lines


@pytest.mark.parametrize("data", ['{"text": ', "3", "not JSON"])
async def test_a_damaged_line_is_shown_as_such_among_the_others(hive: Whole, data: str) -> None:
    turn = await a_turn(hive)
    damaged = {"turn": turn, "n": 900, "at": EPOCH, "kind": "text", "data_json": data}
    await hive.run.store.write(lambda work: work.execute(insert(tables.turn_event), damaged))

    page = await hive.operator.get(f"/api/turns/{turn}/events?after=1")

    assert [(each["kind"], each["data"]["text"]) for each in page["events"]] == [
        ("text", "line 2"),
        ("unreadable", f"text: {data}"),
    ]


async def test_a_turn_that_has_ended_is_told_from_where_one_is(hive: Whole) -> None:
    turn = await a_turn(hive)

    async with asyncio.timeout(20):
        pieces = [told(piece) async for piece in following(hive, turn, after=0)]

    assert [name for name, _ in pieces] == ["lines", "end"]
    assert [each["n"] for each in pieces[0][1]["events"]] == [1, 2]


async def test_a_turn_that_never_was_is_not_found(hive: Whole) -> None:
    with pytest.raises(NotFoundError):
        await anext(following(hive, 999))


async def test_figures_add_up_what_was_used_in_equal_spans(hive: Whole, clock: ManualClock) -> None:
    await a_turn(hive)
    clock.advance(3600)
    await a_turn(hive)

    found = await hive.operator.get("/api/figures?hours=24&agent=alice")

    mine = found["agents"]["alice"]
    assert found["step_seconds"] * SPANS == 24 * 3600
    assert mine["turns"][-2:] == [1, 1]
    assert sum(mine["cost_usd"]) == pytest.approx(0.02)
    assert sum(mine["tokens"]) == 24
    assert list(found["agents"]) == ["alice"]
