"""One turn, from begin to end.

The server hears of the beginning before the driver starts, of the events while it runs, and of
the end after the last event. A turn can be *cancelled* (its driver is ended, the end is reported)
or *dropped* (the server has ended it already: the driver is ended, nothing more is said).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from hyperhive.domain.errors import TurnOverError
from hyperhive.domain.turns import TurnEventKind, TurnKind, TurnOutcome
from hyperhive.harness.box import Box
from hyperhive.harness.cutting import cut_text
from hyperhive.harness.drivers.catalogue import find_driver
from hyperhive.harness.drivers.port import Assignment, TurnResult
from hyperhive.harness.link import RefusedError
from hyperhive.harness.prompt import compose_prompt
from hyperhive.harness.session import Session
from hyperhive.harness.transcript import Transcript
from hyperhive.harness.waiting import OvertakenError, unless
from hyperhive.harness.wire import Welcome, WorkTurn

_log = logging.getLogger(__name__)

BATCH_PAUSE_SECONDS: Final = 0.05
"""Between two batches of a running turn: a program that floods its output costs the server at
most 1,280 events a second, and few small calls serve a slow one."""
LAST_REPORT_SECONDS: Final = 5.0
"""How long a harness that is told to go still tries to report its turn."""
ERROR_BYTES_MAX: Final = 4096
TOOLS_MAX: Final = 200
TOOL_NAME_BYTES_MAX: Final = 128
ALERTS_MAX: Final = 20
ALERT_BYTES_MAX: Final = 1024
DRIVER_END_SECONDS: Final = 60.0
"""A driver that has not ended so long after its cancellation is left to itself."""


class TurnRun:
    """The running of one turn; ``run`` is called once."""

    def __init__(self, session: Session, welcome: Welcome, box: Box, turn: WorkTurn) -> None:
        self.id = turn.id
        self._session = session
        self._welcome = welcome
        self._box = box
        self._turn = turn
        self._transcript = Transcript()
        self._cancelled = asyncio.Event()
        self._dropped = asyncio.Event()
        self._reason = ""
        self._is_last = False
        self._is_reporting = False
        self._reporting = asyncio.timeout(None)
        self._driver: asyncio.Task[TurnResult] | None = None

    async def run(self) -> None:
        """Carry the turn through and return when nothing of it is left here."""
        pump = asyncio.ensure_future(self._pump())
        try:
            result = await self._drive()
            self._transcript.close()
            async with self._reporting:
                self._is_reporting = True
                self._bound_reporting()
                await unless(asyncio.shield(pump), self._dropped.wait())
                await self._tell("end", _report(result))
            _log.info("Turn %d ended: %s.", self.id, result.outcome)
        except OvertakenError:
            _log.warning("Turn %d was dropped: %s", self.id, self._reason)
        except TimeoutError:
            _log.warning("Turn %d ended, but the server was not there to hear it.", self.id)
        finally:
            pump.cancel()
            await asyncio.wait({pump})

    def cancel(self, reason: str, *, last: bool = False) -> None:
        """End the driver and report the turn as cancelled; ``last``: only as long as is decent."""
        self._reason = self._reason or reason
        self._is_last = self._is_last or last
        self._cancelled.set()
        self._bound_reporting()

    def drop(self, reason: str) -> None:
        """End the driver and report nothing: the server has ended the turn."""
        self._reason = reason
        self._dropped.set()
        self._cancelled.set()

    def hurry(self) -> None:
        """Kill what a cancellation has not ended yet."""
        if self._driver is not None:
            self._driver.cancel()

    async def _drive(self) -> TurnResult:
        try:
            await unless(self._tell("begin", {}), self._cancelled.wait())
        except OvertakenError:
            if self._dropped.is_set():
                raise
        if self._cancelled.is_set():
            return TurnResult(TurnOutcome.CANCELLED, self._reason)
        limit = self._welcome.driver.turn_limit_seconds
        self._driver = asyncio.ensure_future(self._run_driver())
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        await asyncio.wait(
            {self._driver, cancelled}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
        )
        if self._driver.done():
            cancelled.cancel()
            result = self._driver.result()
        elif cancelled.done():
            result = await self._ended(TurnOutcome.CANCELLED, self._reason)
        else:
            cancelled.cancel()
            result = await self._ended(
                TurnOutcome.TIMED_OUT, f"The turn reached its limit of {limit:g} s."
            )
        if self._dropped.is_set():
            raise OvertakenError
        return result

    def _bound_reporting(self) -> None:
        loop = asyncio.get_running_loop()
        if self._is_last and self._is_reporting:
            self._reporting.reschedule(loop.time() + LAST_REPORT_SECONDS)

    async def _run_driver(self) -> TurnResult:
        try:
            assignment = Assignment(
                turn=self._turn,
                prompt=compose_prompt(self._turn),
                system_prompt=self._welcome.system_prompt,
                settings=self._turn.settings(self._welcome.driver),
                box=self._box,
            )
            driver = find_driver(self._welcome.driver.kind)
            play = driver.compact if self._turn.kind is TurnKind.COMPACT else driver.run
            return await play(assignment, self._transcript.add)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it ends the turn and no more
            _log.warning("The driver of turn %d failed.", self.id, exc_info=True)
            text = str(error) or type(error).__name__
            self._transcript.add(TurnEventKind.ERROR, {"text": text})
            return TurnResult(TurnOutcome.FAILED, text)

    async def _ended(self, outcome: TurnOutcome, why: str) -> TurnResult:
        assert self._driver is not None
        self._driver.cancel()
        await asyncio.wait({self._driver}, timeout=DRIVER_END_SECONDS)
        if self._driver.done() and not self._driver.cancelled():
            return replace(self._driver.result(), outcome=outcome, error=why)
        if not self._driver.done():
            _log.error("The driver of turn %d does not end; it is left behind.", self.id)
        return TurnResult(outcome, why)

    async def _pump(self) -> None:
        while (events := await self._transcript.batch()) is not None:
            try:
                await self._tell("events", {"events": events})
            except RefusedError as refusal:
                _log.error("%d events of turn %d are lost: %s", len(events), self.id, refusal)
            except OvertakenError:
                return
            self._transcript.sent()
            if self._driver is not None and not self._driver.done():
                await asyncio.sleep(BATCH_PAUSE_SECONDS)

    async def _tell(self, what: str, body: Mapping[str, Any]) -> None:
        """Insist on a request about this turn; OvertakenError when the server has ended it."""
        path = f"/harness/turns/{self.id}/{what}"
        try:
            await unless(self._session.insist(path, body), self._dropped.wait())
        except RefusedError as refusal:
            if refusal.code != TurnOverError.code:
                raise
            self.drop(str(refusal))
            raise OvertakenError from refusal


def _report(result: TurnResult) -> dict[str, Any]:
    """Word the end of a turn within what the server takes, so that it is never refused.

    What a driver does not know is left out: an older server need not know of it either.
    """
    tools = list(result.tools.items())[:TOOLS_MAX]
    further: dict[str, Any] = {}
    if result.context_tokens is not None:
        further["context"] = {"tokens": result.context_tokens, "window": result.context_window}
    if result.resets_at is not None:
        further["resets_at"] = result.resets_at
    if alerts := list(dict.fromkeys(result.alerts))[:ALERTS_MAX]:
        further["alerts"] = [cut_text(alert, ALERT_BYTES_MAX)[0] for alert in alerts]
    return {
        "outcome": result.outcome,
        "error": None if result.error is None else cut_text(result.error, ERROR_BYTES_MAX)[0],
        "usage": None if result.usage is None else asdict(result.usage),
        "tools": {cut_text(name, TOOL_NAME_BYTES_MAX)[0]: count for name, count in tools},
        **further,
    }
