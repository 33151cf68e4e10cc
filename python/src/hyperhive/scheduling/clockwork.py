"""What rings at intervals and at times; whoever is rung does the work in a loop of its own.

APScheduler drops a job that is a little late, skips one that is armed anew while it runs, and
cancels what runs when it is shut down. So nothing is done in a job here: a job rings and is over.
Jobs live in memory only. They are made anew at every start, from rows and from what the caller
knows, and rows stay the truth: whoever is rung looks at them.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]

# It tells of every ring, several a second; what goes wrong is a warning.
logging.getLogger("apscheduler").setLevel(logging.WARNING)

Ring = Callable[[], None]

_JOB: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
"""A late ring is better than none, and one is as good as many."""
FURTHEST: Final = 253_370_764_800.0
"""The year 9999: a date that Python can write. Whoever waits for longer is rung then."""


class Clockwork:
    """Rings; every method belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._scheduler: Any = AsyncIOScheduler(timezone=UTC, job_defaults=_JOB)

    @property
    def names(self) -> set[str]:
        """What is set, by the names that were given."""
        return {str(job.id) for job in self._scheduler.get_jobs()}

    def start(self) -> None:
        """Ring from now on; an event loop must run."""
        self._scheduler.start()

    def stop(self) -> None:
        """Ring no more. What was rung goes on in its own loop."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def every(self, name: str, seconds: float, ring: Ring, *, at_start: bool = True) -> None:
        """Ring at this interval, and now if it shall begin with it."""
        first = {"next_run_time": datetime.now(UTC)} if at_start else {}
        self._add(name, ring, "interval", seconds=seconds, **first)

    def at(self, name: str, when: float | None, ring: Ring) -> None:
        """Ring once at a time (seconds since the epoch), instead of any set before; or not."""
        if when is not None:
            at = datetime.fromtimestamp(min(max(when, 0.0), FURTHEST), UTC)
            self._add(name, ring, "date", run_date=at)
        elif self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def _add(self, name: str, ring: Ring, trigger: str, **when: Any) -> None:
        async def job() -> None:
            # A plain function would be called on another thread.
            ring()

        self._scheduler.add_job(job, trigger, id=name, replace_existing=True, **when)
