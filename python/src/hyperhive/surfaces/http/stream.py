"""The live streams, as server-sent events: the hive's events, and the transcript of a turn."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from hyperhive import bus
from hyperhive.domain.errors import InvalidError
from hyperhive.services.feed import Feed, TooFarBehindError
from hyperhive.services.logins import Login, Logins
from hyperhive.services.turns import Turns
from hyperhive.store import Store

KEEP_ALIVE_SECONDS: Final = 15.0
LINES_AT_ONCE: Final = 200
PACE_SECONDS: Final = 0.01
"""Between two pieces of a stream: an event alone goes at once, those of a burst go together.
Without it, a hundred dashboards cost a hundred pieces for every commit."""
POSITION_DIGITS: Final = 19
"""Fewer digits than this are a number that the database can hold."""


def position(last_event_id: str | None, after: int | None, epoch: str | None) -> "Position":
    """Say where a client wants to go on: ``Last-Event-ID`` counts more than the address."""
    if last_event_id:
        head, _, tail = last_event_id.rpartition(":")
        if not (tail.isascii() and tail.isdigit() and len(tail) < POSITION_DIGITS):
            raise InvalidError(
                f"{last_event_id[:100]!r} is no position.", "Take a new snapshot from /api/state."
            )
        return Position(int(tail), head or epoch)
    return Position(after, epoch)


class Position:
    """A place in the event table of an epoch; ``seq`` is ``None`` for "from now on"."""

    __slots__ = ("epoch", "seq")

    def __init__(self, seq: int | None, epoch: str | None) -> None:
        self.seq = seq
        self.epoch = epoch


async def stream(
    store: Store,
    feed: Feed,
    start: Position,
    logins: Logins,
    login: Login | None = None,
    *,
    once: bool = False,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """Give the stream of one client until the hive stops or the client must start over.

    It also ends at once when the ``login`` by which it was asked for is closed; asked for
    ``once``, when it has told of something, or of nothing for as long as a keep-alive takes.
    """
    epoch = store.epoch
    place = epoch.encode()
    with (
        feed.following(),
        store.bus.watch() as watch,
        logins.staying(login, watch.ring) as stay,
    ):
        # It may have been closed between the door and here.
        if login is not None and await logins.session(login.secret) is None:
            return
        seq = start.seq if start.seq is not None else store.bus.seq
        yield _event("hello", {"epoch": epoch, "seq": store.bus.seq, "at": store.clock()})
        if start.epoch not in (None, epoch) or seq > store.bus.seq:
            yield _event("reset", {"reason": "epoch"})
            return
        while not (store.bus.closed or stay.is_over):
            if store.epoch != epoch:
                yield _event("reset", {"reason": "epoch"})
                return
            try:
                fresh = await feed.after(seq)
            except TooFarBehindError:
                yield _event("reset", {"reason": "trimmed"})
                return
            if fresh:
                seq = fresh[-1].seq
                yield b"".join(
                    b"id: %b:%d\nevent: event\ndata: %b\n\n" % (place, event.seq, event.text)
                    for event in fresh
                )
                if once:
                    return
                await asyncio.sleep(PACE_SECONDS)
            elif not await watch.wait(keep_alive_seconds):
                yield b": still here\n\n"
                if once:
                    return
            # A loop that never waits would starve the others while it catches up.
            await asyncio.sleep(0)


async def transcript(
    store: Store,
    turns: Turns,
    number: int,
    after: int,
    logins: Logins,
    login: Login | None = None,
    *,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """Give the lines of a turn as they are written, until it has ended and all are told.

    A turn's last lines may come just after its end; whoever wants those asks for the transcript.
    """
    with (
        store.bus.watch(bus.transcript(number)) as watch,
        logins.staying(login, watch.ring) as stay,
    ):
        if login is not None and await logins.session(login.secret) is None:
            return
        while not (store.bus.closed or stay.is_over):
            lines, is_over = await turns.news(number, after=after, limit=LINES_AT_ONCE)
            if lines:
                after = lines[-1]["n"]
                yield _event("lines", {"events": lines})
            if is_over:
                yield _event("end", {"turn": number})
                return
            if not lines and not await watch.wait(keep_alive_seconds):
                yield b": still here\n\n"
            await asyncio.sleep(0)


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
