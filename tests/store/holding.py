"""Ways to hold the store at one moment, so that an interleaving is chosen and not hoped for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from hyperhive.store import Store, Writing, engine

BOUND_SECONDS = 30.0


@asynccontextmanager
async def writer_held(store: Store) -> AsyncIterator[None]:
    """Keep the writer in a job of ours; what is queued meanwhile comes behind it, in one batch."""
    entered, go = threading.Event(), threading.Event()

    def hold(_work: Writing) -> None:
        entered.set()
        assert go.wait(BOUND_SECONDS), "nobody let the writer go"

    held = asyncio.create_task(store.write(hold))
    assert await asyncio.to_thread(entered.wait, BOUND_SECONDS), "the writer never took the job"
    try:
        yield
    finally:
        go.set()
        await held


@contextmanager
def commits_of(store: Store) -> Iterator[list[str]]:
    """Collect the commits of the block: the database's own word for each."""
    said: list[str] = []
    raw = engine.driver(store._connection)
    raw.set_trace_callback(lambda text: said.append(text) if text == "COMMIT" else None)
    try:
        yield said
    finally:
        raw.set_trace_callback(None)
