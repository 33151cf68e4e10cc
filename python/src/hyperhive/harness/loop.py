"""The loop of an agent: say hello, wait for work, run one turn, report it, and again.

It outlives everything. An error is reported on standard error and the loop goes on after a
pause; if something unexpected happens it also begins a new session, which makes the server give
back whatever it still holds for this one, so that no message is stuck behind a defect here.

Every wait of the loop goes through one place, which also sends the heartbeat and feeds systemd's
watchdog: a loop that hangs stops doing both and is restarted from outside.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from hyperhive.domain.errors import TurnOverError
from hyperhive.domain.turns import TurnOutcome
from hyperhive.harness.backoff import Backoff
from hyperhive.harness.box import Box
from hyperhive.harness.link import Link, LinkError, RefusedError
from hyperhive.harness.probing import Probing
from hyperhive.harness.session import Session
from hyperhive.harness.tea import log_in
from hyperhive.harness.turns import TurnRun
from hyperhive.harness.waiting import OvertakenError, unless
from hyperhive.harness.watchdog import Watchdog
from hyperhive.harness.wire import Command, Verb, Welcome, WorkTurn, read_work

T = TypeVar("T")
_log = logging.getLogger(__name__)

WORK_WAIT_SECONDS: Final = 120.0
"""One wait for work; the server allows 180."""
LOOK_SECONDS: Final = 1.0
"""A wait for work that ended sooner without any was no wait: the next one is put off a little, so
that a server which does not hold its callers is not asked in a tight loop."""
HURRY_SECONDS: Final = 5.0
"""After SIGTERM a driver has so long to end before it is killed: whoever sent it is waiting."""


class Harness:
    """The harness of one agent; ``run`` returns only after ``stop``."""

    def __init__(self, box: Box, watchdog: Watchdog, probing: Probing) -> None:
        self._box = box
        self._watchdog = watchdog
        self._session = Session(
            Link(box.socket), probing, on_welcome=self._welcomed, on_command=self._commanded
        )
        self._keeper: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._heartbeat_due = 0.0
        self._run: TurnRun | None = None
        self._not_held: int | None = None
        self._looks = Backoff()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Loop until told to stop; a running turn is cancelled first."""
        self._watchdog.ready()
        backoff = Backoff(0.1, 30.0)
        try:
            while not self._stopping.is_set():
                try:
                    await self._attend(self._step())
                    backoff.reset()
                except OvertakenError:
                    continue
                except LinkError as error:
                    _log.warning("Work could not be had: %s", error)
                    await self._rest(backoff.pause())
                except Exception:  # noqa: BLE001 -- the loop must outlive whatever is wrong
                    _log.exception("The loop goes on with a new session after an error.")
                    self._session.renew()
                    await self._rest(backoff.pause())
        finally:
            tasks = [task for task in (self._keeper, self._heartbeat) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self, reason: str, *, hurry: bool = False) -> None:
        """Cancel what runs, report it, and let ``run`` return; ``hurry``: kill after 5 s."""
        self._stopping.set()
        if self._run is not None:
            self._run.cancel(reason, last=True)
            if hurry:
                asyncio.get_running_loop().call_later(HURRY_SECONDS, self._run.hurry)

    async def _step(self) -> None:
        """Wait for one turn and run it; OvertakenError when something else comes first."""
        await unless(self._session.opened(), self._stopping.wait())
        if self._not_held is not None:
            await self._give_back(self._not_held)
        asked = time.monotonic()
        turn = await unless(
            self._wait_for_work(),
            self._session.lost(),
            self._stopping.wait(),
        )
        welcome = self._session.welcome
        if turn is None:
            if time.monotonic() - asked > LOOK_SECONDS:
                self._looks.reset()
            await asyncio.sleep(self._looks.pause())
            return
        self._looks.reset()
        if welcome is None or self._stopping.is_set():
            return
        await asyncio.to_thread(log_in, self._box.environment)
        self._run = TurnRun(self._session, welcome, self._box, turn)
        try:
            await self._run.run()
        except RefusedError as refusal:
            _log.error("Turn %d could not be reported, a new session begins: %s", turn.id, refusal)
            self._session.renew()
        finally:
            self._run = None

    async def _wait_for_work(self) -> WorkTurn | None:
        answer = await self._session.ask(
            "/harness/work",
            {"wait_seconds": WORK_WAIT_SECONDS},
            timeout_seconds=WORK_WAIT_SECONDS + 15,
        )
        return read_work(answer)

    async def _give_back(self, turn: int) -> None:
        """End a turn that the server holds for this session and that is not here.

        Its announcement was lost with a connection; nobody has seen its messages.
        """
        _log.warning("Turn %d never arrived here; its messages are given back.", turn)
        report = {"outcome": TurnOutcome.CANCELLED, "error": "It never reached the harness."}
        try:
            await unless(
                self._session.insist(
                    f"/harness/turns/{turn}/end", {**report, "usage": None, "tools": {}}
                ),
                self._session.lost(),
                self._stopping.wait(),
            )
        except RefusedError as refusal:
            _log.info("Turn %d needed no giving back: %s", turn, refusal)
        self._not_held = None

    def _welcomed(self, welcome: Welcome) -> None:
        held = self._run.id if self._run is not None else None
        if self._run is not None and welcome.turn != held:
            self._run.drop("After the connection was lost, the server had ended it.")
        self._not_held = welcome.turn if welcome.turn != held else None

    def _commanded(self, command: Command) -> None:
        match command.verb:
            case Verb.STOP:
                self.stop(command.reason or "The harness was told to stop.")
            case Verb.CANCEL:
                if self._run is not None and command.turn in {None, self._run.id}:
                    self._run.cancel(command.reason or "It was cancelled.")

    async def _attend(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for ``work``, beating and feeding the watchdog meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self._pulse())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _rest(self, seconds: float) -> None:
        await self._attend(_quietly(unless(asyncio.sleep(seconds), self._stopping.wait())))

    def _pulse(self) -> float:
        """Do what shows that the loop lives; return in how many seconds to do it again."""
        self._watchdog.feed()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._session.keep())
        now = time.monotonic()
        period = self._session.welcome.heartbeat_seconds if self._session.welcome else 1.0
        if not self._session.is_open:
            return min(period, self._watchdog.period_seconds or period)
        if now >= self._heartbeat_due:
            self._heartbeat_due = now + period
            if self._heartbeat is None or self._heartbeat.done():
                self._heartbeat = asyncio.ensure_future(self._beat())
        return max(0.05, min(self._heartbeat_due - now, self._watchdog.period_seconds or period))

    async def _beat(self) -> None:
        run = self._run
        try:
            await self._session.ask("/harness/heartbeat", {"turn": run.id if run else None})
        except LinkError as error:
            is_over = isinstance(error, RefusedError) and error.code == TurnOverError.code
            if run is not None and is_over:
                run.drop(str(error))
            _log.info("A heartbeat failed: %s", error)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except OvertakenError:
        return
