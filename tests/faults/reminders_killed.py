"""``python -m tests.faults.reminders_killed DIRECTORY POINT NTH``: die while delivering.

Opens the hive in the directory, whose reminders are due, and delivers them until it comes to the
point for the n-th time; there it kills itself, as hard as a power cut to a process.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hyperhive.domain import reminders as rules
from hyperhive.services import reminder_files
from hyperhive.services.deliveries import Deliveries
from hyperhive.store import engine, messages
from tests.builders import EPOCH, Desk, ManualClock, a_desk

DUE_AT: Final = EPOCH + 60
BATCH: Final = 3
POINTS: Final = (
    *("before the file", "in the file", "beside the file", "after the file", "in the transaction"),
    *("before the commit", "after the transaction"),
)


class Killer:
    """Kills this process when it is called for the n-th time."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def die_at(desk: Desk, point: str, kill: Killer) -> None:
    """Put the killer where the delivery comes by."""
    match point:
        case "before the file":
            _before(reminder_files, "write", kill)
        case "in the file":
            _before(reminder_files, "_give", kill)
        case "beside the file":
            # It has its name, and the one under which it grew.
            _after(os, "link", kill)
        case "after the file":
            _before(Deliveries, "_settle", kill)
        case "in the transaction":
            _before(messages, "add", kill)
        case "before the commit":
            raw = engine.driver(desk.store._connection)
            raw.set_trace_callback(lambda text: kill() if text == "COMMIT" else None)
        case "after the transaction":
            deliver = Deliveries._deliver

            async def delivered(self: Deliveries, batch: Any) -> int:
                done = await deliver(self, batch)
                kill()
                return done

            Deliveries._deliver = delivered  # type: ignore[method-assign]
        case _:
            raise AssertionError(point)


def _before(owner: Any, name: str, kill: Killer) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def killing(*given: Any, **named: Any) -> Any:
        kill()
        return original(*given, **named)

    setattr(owner, name, killing)


def _after(owner: Any, name: str, kill: Killer) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def killing(*given: Any, **named: Any) -> Any:
        done = original(*given, **named)
        kill()
        return done

    setattr(owner, name, killing)


async def main(directory: Path, point: str, nth: int) -> None:
    """Deliver what is due, and die of it."""
    rules.BATCH = BATCH  # type: ignore[misc]
    async with a_desk(directory, clock=ManualClock(DUE_AT)) as desk:
        die_at(desk, point, Killer(nth))
        await desk.deliveries.deliver_due()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
