"""Does what a plan says, each agent by itself, and shows how it went.

Actions of different agents run side by side, so one that hangs or fails holds no other up for
longer than its own bound: starts wait for the stops of the same plan and for the manager's start,
whatever becomes of those, and at most `STARTS_AT_ONCE` run at a time. An agent that is being acted
upon is in `busy` and must be left out of plans until it is not.

A start that fails is recorded as a crash, so it backs off like one. A stop that fails is shown and
left to a later plan. ``starting`` is shown before a start only: from then on the harness tells.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Final, assert_never
from uuid import uuid4

from hyperhive.domain.actors import Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import UNSTARTED, BoxSpec, Crash, Instance, Phase
from hyperhive.domain.plan import Action, Restart, Start, Stop
from hyperhive.domain.ports import Clock, Conditions, Runtime

STARTS_AT_ONCE: Final = 4
GRACE_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class Applier:
    """Runs actions as tasks; ``when_done`` is called after each that went well or was recorded."""

    def __init__(
        self,
        runtime: Runtime,
        conditions: Conditions,
        clock: Clock,
        when_done: Callable[[], None],
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._conditions = conditions
        self._clock = clock
        self._when_done = when_done
        self._grace_seconds = grace_seconds
        self._tasks: dict[str, asyncio.Task[bool]] = {}
        self._slots = asyncio.Semaphore(STARTS_AT_ONCE)

    @property
    def busy(self) -> frozenset[str]:
        """The agents that are being acted upon."""
        return frozenset(self._tasks)

    def begin(
        self,
        actions: Sequence[Action],
        declared: Mapping[str, BoxSpec],
        observed: Mapping[str, Instance],
    ) -> None:
        """Set a plan in motion and return; none of its agents may be busy."""
        stops: list[asyncio.Task[bool]] = []
        manager: list[asyncio.Task[bool]] = []
        for action in actions:
            match action:
                case Stop():
                    seen = observed.get(action.name)
                    runs = seen is not None and seen.phase is Phase.RUNNING
                    stops.append(self._run(action.name, self._stop(action, shown=runs)))
                case Start() | Restart():
                    spec = declared[action.name]
                    task = self._run(action.name, self._start(action, spec, (*stops, *manager)))
                    if spec.role is Role.MANAGER:
                        manager.append(task)
                case _:
                    assert_never(action)

    async def idle(self) -> None:
        """Return when no action runs."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))

    async def cancel(self) -> None:
        """Give up what runs, and return when it has ended."""
        for task in tuple(self._tasks.values()):
            task.cancel()
        await self.idle()

    def _run(self, name: str, work: Coroutine[None, None, bool]) -> asyncio.Task[bool]:
        task = asyncio.create_task(work)
        self._tasks[name] = task
        task.add_done_callback(partial(self._finish, name))
        return task

    def _finish(self, name: str, task: asyncio.Task[bool]) -> None:
        del self._tasks[name]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("acting on %s failed; a later plan tries again", name, exc_info=error)
        elif task.result():
            self._when_done()

    async def _stop(self, action: Stop, *, shown: bool) -> bool:
        if shown:
            await self._conditions.set_state(action.name, AgentState.STOPPING, action.reason)
        return await self._end(action.name)

    async def _start(
        self, action: Start | Restart, spec: BoxSpec, first: Sequence[asyncio.Task[bool]]
    ) -> bool:
        if first:
            await asyncio.wait(first)
        async with self._slots:
            if isinstance(action, Restart):
                await self._conditions.set_state(action.name, AgentState.STOPPING, action.reason)
                if not await self._end(action.name):
                    return False
            await self._conditions.set_state(action.name, AgentState.STARTING, action.reason)
            try:
                await self._runtime.start(spec)
            except Exception as error:  # noqa: BLE001 - whatever a runtime meets, the hive goes on
                await self._record_refusal(action.name, error)
        return True

    async def _record_refusal(self, name: str, error: Exception) -> None:
        _log.warning("%s could not be started: %s", name, error)
        crash = Crash(
            self._clock.now(), f"{UNSTARTED}{uuid4().hex}", f"it could not be started ({error})"
        )
        await self._conditions.record_crash(name, crash)

    async def _end(self, name: str) -> bool:
        try:
            await self._runtime.stop(name, self._grace_seconds)
        except Exception as error:  # noqa: BLE001 - whatever a runtime meets, the hive goes on
            _log.warning("%s could not be stopped: %s", name, error)
            reason = f"it could not be stopped ({error}); the hive tries again"
            await self._conditions.set_state(name, AgentState.STOPPING, reason)
            return False
        return True
