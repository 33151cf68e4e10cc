"""Places for what costs the forge much, of which no account ever has more than its share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Shares:
    """At most ``each`` places for an account and, if it is given, ``places`` for all together."""

    def __init__(self, each: int, places: int | None = None) -> None:
        self._each = each
        self._all = asyncio.Semaphore(places) if places is not None else None
        self._of: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, account: int) -> AsyncIterator[None]:
        """Wait for a place; who waits for one of its own share keeps none from the others."""
        own = self._of.get(account)
        if own is None:
            own = self._of[account] = asyncio.Semaphore(self._each)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(own)
            if self._all is not None:
                await stack.enter_async_context(self._all)
            yield
