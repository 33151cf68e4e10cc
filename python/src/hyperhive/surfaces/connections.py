"""One connection to a socket of the hive: how many there may be, and how long a request may take.

Whoever opens connections without end, or begins requests and never finishes them, uses up their
own socket's share and gets an error; the descriptors of the process stay for the others.
"""

import asyncio
import json
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from hyperhive.surfaces.http.problems import MEDIA_TYPE, problem

CONNECTIONS_MAX: Final = 256
"""On one socket. A harness and the bridges of a turn need about ten, a page two."""

REQUEST_SECONDS: Final = 30.0
"""From a request's first byte, or the connection, until the request is there whole; where bodies
may be long (`PatientConnection`), until its head is, and then from one sign of life to the next."""


class BoundedConnection(H11Protocol):
    """Speaks HTTP by h11 everywhere, so that its limits on heads hold on every machine."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, or refuse the one that is too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._refuse(
                503,
                f"This socket has {CONNECTIONS_MAX} connections already.",
                code="unavailable",
                remedy="Close some, then try again.",
            )
        else:
            self._watch_arrival()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_watching()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, msg, code="invalid", remedy="Send HTTP/1.1 with one Host header.")

    def _watch_arrival(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_watching()
        elif self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(REQUEST_SECONDS, self._is_late)

    def _stop_watching(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_late(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(
                408,
                f"No whole request came within {REQUEST_SECONDS:g} s.",
                code="invalid",
                remedy="Send it at once.",
            )
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str, *, code: str, remedy: str) -> None:
        """Say why on a connection whose request no application will see, and close it."""
        told = problem(status, detail, code=code, remedy=remedy)
        body = json.dumps(told).encode()
        self.transport.write(
            f"HTTP/1.1 {status} {told['title']}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()


class PatientConnection(BoundedConnection):
    """Carries bodies of any length, such as git's: not the whole is timed but silence, both ways.

    Who sends nothing of a body for `REQUEST_SECONDS`, or takes nothing of an answer, is cut off. A
    request's head must be there whole within that time, as everywhere.
    """

    _unread: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take what has come, and wait as long again for more of a body."""
        if self.conn.their_state is h11.SEND_BODY:
            self._stop_watching()
        super().data_received(data)

    def pause_writing(self) -> None:
        """Note that the client does not read what waits for it."""
        super().pause_writing()
        self._unread = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it has read most of it."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def _is_late(self) -> None:
        if self.flow.read_paused:
            # Nothing comes because we read nothing: that is not the client's silence.
            self._late = None
            self._watch_arrival()
        else:
            super()._is_late()
