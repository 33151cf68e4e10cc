"""Nobody takes more than their share of the embedded forge."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from hyperhive.forge.embedded.shares import Shares

pytestmark = pytest.mark.anyio

ALICE, BOB = 1, 2


async def test_who_has_a_whole_share_waits_and_keeps_nobody_else_waiting() -> None:
    shares = Shares(each=2, places=3)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(shares.place(ALICE))
        waiting = asyncio.create_task(held.enter_async_context(shares.place(ALICE)))

        async with shares.place(BOB):
            assert not waiting.done()

        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_place_that_is_given_back_is_the_next_ones() -> None:
    shares = Shares(each=1)
    async with shares.place(ALICE):
        waiting = asyncio.create_task(shares.place(ALICE).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(20):
        await waiting
