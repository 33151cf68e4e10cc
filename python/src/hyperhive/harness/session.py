"""The harness's presence at the server: one stream, kept open for ever.

While the stream is open the server counts the agent as there; when it breaks, leases may be given
back, so it is opened again at once, with the same session id and a short back-off. Requests go
through here, too, so that each waits for the stream and says hello again when the server has
forgotten the session. A broken connection is normal and is reported once per outage.

Hello tells what the probe of the box has found. It waits for that a moment only; what comes later
is told by a request of its own.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from hyperhive import __version__
from hyperhive.domain.errors import InvalidError, NotFoundError, SessionUnknownError
from hyperhive.harness.backoff import Backoff
from hyperhive.harness.link import (
    REQUEST_SECONDS,
    LineStream,
    Link,
    LinkError,
    RefusedError,
    UnreachableError,
)
from hyperhive.harness.probing import WAIT_SECONDS, Probing
from hyperhive.harness.wire import Command, Welcome, read_command, read_welcome

_log = logging.getLogger(__name__)

SILENT_HEARTBEATS_MAX: Final = 6
"""The server pings once a heartbeat; after so many without a word the stream counts as broken."""
_STEADY_SECONDS: Final = 5.0
"""A stream that lasted so long was a good one: the next outage begins with the shortest pause."""


class Session:
    """One session id, its stream, and the requests made in its name."""

    def __init__(
        self,
        link: Link,
        probing: Probing,
        *,
        on_welcome: Callable[[Welcome], None],
        on_command: Callable[[Command], None],
    ) -> None:
        self._link = link
        self._probing = probing
        self._is_told = False
        """Whether the server knows what the probe has found."""
        self._is_unwanted = False
        """Whether it is an older server, which knows of no probe and refuses to be told of one."""
        self._on_welcome = on_welcome
        self._on_command = on_command
        self._id = os.urandom(16).hex()
        self._stream: LineStream | None = None
        self._openings = 0
        self._trouble = ""
        self._open = asyncio.Event()
        self._shut = asyncio.Event()
        self._shut.set()
        self.welcome: Welcome | None = None
        """The newest welcome; it stays known while the server is away."""

    @property
    def is_open(self) -> bool:
        """Whether the stream is open just now."""
        return self._open.is_set()

    async def opened(self) -> None:
        """Return as soon as the stream is open."""
        await self._open.wait()

    async def lost(self) -> None:
        """Return as soon as the stream is not open."""
        await self._shut.wait()

    async def keep(self) -> None:
        """Say hello and listen, again and again; this never returns."""
        backoff = Backoff()
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 -- presence must outlive whatever is wrong
                if (trouble := f"{type(error).__name__}: {error}") != self._trouble:
                    _log.warning("The session is interrupted. %s", trouble)
                self._trouble = trouble
            finally:
                self._open.clear()
                self._shut.set()
                self._stream = None
            if time.monotonic() - began > _STEADY_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.pause())

    async def ask(
        self, path: str, body: Mapping[str, Any], *, timeout_seconds: float = REQUEST_SECONDS
    ) -> dict[str, Any]:
        """Make one request in the name of the session; LinkError when it fails."""
        opening = self._openings
        request = {"session": self._id, **body}
        try:
            return await self._link.post(path, request, timeout_seconds=timeout_seconds)
        except RefusedError as refusal:
            # Only if the stream is still the one the request relied on: breaking a newer one
            # would end a presence the server does know.
            if refusal.code == SessionUnknownError.code and opening == self._openings:
                self.reopen()
            raise

    async def insist(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a request until the server has answered it, through any outage.

        RefusedError only for what no repetition can mend. The request must be idempotent.
        """
        backoff = Backoff()
        while True:
            await self.opened()
            try:
                return await self.ask(path, body)
            except RefusedError as refusal:
                if not refusal.is_passing and refusal.code != SessionUnknownError.code:
                    raise
                _log.warning("%s is tried again: %s", path, refusal)
            except LinkError as error:
                _log.warning("%s is tried again: %s", path, error)
            await asyncio.sleep(backoff.pause())

    def reopen(self) -> None:
        """Break the stream, so that hello is said again with the same id."""
        self._open.clear()
        self._shut.set()
        if self._stream is not None:
            self._stream.abort()

    def renew(self) -> None:
        """Begin a new session, which gives back all that the server holds for the old one."""
        self._id = os.urandom(16).hex()
        self.reopen()

    async def _listen(self) -> None:
        await self._probing.done(WAIT_SECONDS)
        hello: dict[str, Any] = {"session": self._id, "pid": os.getpid(), "version": __version__}
        found = None if self._is_unwanted else self._probing.found
        try:
            await self._say_hello(hello if found is None else {**hello, "probe": found})
        except RefusedError as refusal:
            self._is_unwanted = found is not None and refusal.code == InvalidError.code
            raise
        except UnreachableError:
            # The server that comes back may be a newer one.
            self._is_unwanted = False
            raise

    async def _say_hello(self, hello: Mapping[str, Any]) -> None:
        heartbeat = self.welcome.heartbeat_seconds if self.welcome else 10.0
        idle = SILENT_HEARTBEATS_MAX * heartbeat
        async with self._link.stream("/harness/session", hello, idle_seconds=idle) as stream:
            self._stream = stream
            self.welcome = read_welcome(await stream.next())
            if self._id != hello["session"]:
                return
            self._openings += 1
            self._is_told = self._is_told or "probe" in hello
            self._on_welcome(self.welcome)
            self._shut.clear()
            self._open.set()
            if self._trouble:
                _log.warning("The session is open again.")
                self._trouble = ""
            telling = asyncio.create_task(self._tell_what_came_late())
            try:
                while True:
                    line = await stream.next()
                    if line.get("type") == "command":
                        self._obey(line)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _tell_what_came_late(self) -> None:
        """Tell what the probe has found, if that came after the hello; the next one has it, too."""
        if self._is_told or self._is_unwanted:
            return
        await self._probing.done()
        try:
            await self.ask("/harness/probe", {"probe": self._probing.found})
            self._is_told = True
        except RefusedError as refusal:
            self._is_unwanted = refusal.code == NotFoundError.code
            _log.warning("The server does not take what the probe has found: %s", refusal)
        except LinkError as error:
            _log.info("The next hello tells what the probe has found: %s", error)

    def _obey(self, line: Mapping[str, Any]) -> None:
        try:
            self._on_command(read_command(line))
        except Exception:  # noqa: BLE001 -- one bad order is no reason to lose the session
            _log.exception("The command %r was not carried out.", line.get("verb"))
