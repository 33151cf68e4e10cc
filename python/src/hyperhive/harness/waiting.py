"""Waiting for one thing unless another comes first, without leaving a task behind."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class OvertakenError(Exception):
    """What would end the wait came before what was waited for."""


async def unless(work: Awaitable[T], *ends: Awaitable[object]) -> T:
    """Return the result of ``work``, or raise OvertakenError when one of ``ends`` returns first.

    If both are there, the work counts. Whatever did not finish is cancelled and has ended when
    this returns, also when the caller itself is cancelled.
    """
    main = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait({main, *others}, return_when=asyncio.FIRST_COMPLETED)
        if main.done():
            return main.result()
        raise OvertakenError
    finally:
        unfinished = [task for task in (main, *others) if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
