"""The operator's event stream: every event once, in order, across broken connections.

The stream remembers the position of the last event it gave out and asks for what follows it
(``Last-Event-ID``) whenever it has to connect again. When the server cannot continue from
there, because a backup was restored or the events are too old to be kept, it raises
`StreamResetError`: take a new snapshot and start from its ``seq``.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import Any, ClassVar, Final, NamedTuple, cast

from hyperhive.client.answers import Event
from hyperhive.client.connections import HttpCaller, query, trouble
from hyperhive.domain.errors import HiveError, UnavailableError

SILENCE_SECONDS: Final = 45.0
"""A stream this silent is dead: the server sends a keep-alive every 15 s."""

BACKOFF_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits between attempts to connect; the last is repeated."""


class StreamResetError(HiveError):
    """The stream cannot continue from where it was; ``reason`` is ``epoch`` or ``trimmed``."""

    code: ClassVar[str] = "stream_reset"
    status: ClassVar[int] = 410

    def __init__(self, reason: str) -> None:
        why = {
            "epoch": "A backup was restored.",
            "trimmed": "The events after that position are no longer kept.",
        }.get(reason, f"The server started over ({reason}).")
        super().__init__(why, "Take a new snapshot and follow from its seq.")
        self.reason = reason


class Frame(NamedTuple):
    """One server-sent event as it came."""

    event: str
    id: str | None
    data: str


def frames(lines: Iterator[bytes]) -> Iterator[Frame]:
    """Cut a byte stream of lines into server-sent events; comments and empty ones vanish."""
    event, identity, data = "message", None, list[str]()
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                yield Frame(event, identity, "\n".join(data))
            event, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id":
                identity = value
            case _:
                pass


class EventStream:
    """Follows a hive's events from a position; iterate it once."""

    def __init__(
        self,
        caller: HttpCaller,
        after: int | None,
        epoch: str | None,
        *,
        patience_seconds: float | None,
        on_disconnect: Callable[[HiveError], None] | None,
    ) -> None:
        self._caller = caller
        self._after = after
        self._epoch = epoch
        self._patience_seconds = patience_seconds
        self._on_disconnect = on_disconnect

    def follow(self) -> Iterator[Event]:
        """Give out events for ever.

        Raises `UnavailableError` when the first connection fails, or when connecting again has
        failed for the patience given.
        """
        failures, lost_at, has_connected = 0, 0.0, False
        while True:
            try:
                for item in self._connected():
                    failures, has_connected = 0, True
                    if item is not None:
                        yield item
            except UnavailableError as error:
                if not has_connected:
                    raise
                if failures == 0:
                    lost_at = time.monotonic()
                    if self._on_disconnect is not None:
                        self._on_disconnect(error)
                patience = self._patience_seconds
                if patience is not None and time.monotonic() - lost_at >= patience:
                    raise
                time.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1

    def _connected(self) -> Iterator[Event | None]:
        """Give out what one connection brings: ``None`` for its greeting, then events."""
        position = {} if self._after is None else {"Last-Event-ID": self._position()}
        target = query("/dashboard/stream", after=self._after, epoch=self._epoch)
        headers = {"Accept": "text/event-stream", **position}
        with self._caller.stream(
            target, headers=headers, timeout_seconds=SILENCE_SECONDS
        ) as response:
            for frame in frames(self._lines(response)):
                data = _parsed(frame)
                match frame.event:
                    case "hello":
                        self._epoch = str(data["epoch"])
                        if self._after is None:
                            self._after = int(data["seq"])
                        yield None
                    case "reset":
                        raise StreamResetError(str(data.get("reason", "unknown")))
                    case "event":
                        event = cast(Event, data)
                        self._after = event["seq"]
                        yield event
                    case _:
                        pass

    def _lines(self, response: HTTPResponse) -> Iterator[bytes]:
        with closing(response):
            try:
                while line := response.readline():
                    yield line
            except (OSError, HTTPException) as error:
                raise trouble(self._caller.address, error, SILENCE_SECONDS) from error
        raise UnavailableError("The server closed the stream.", "Connect again.")

    def _position(self) -> str:
        return f"{self._epoch}:{self._after}" if self._epoch else str(self._after)


def _parsed(frame: Frame) -> dict[str, Any]:
    try:
        data = json.loads(frame.data)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UnavailableError("The stream is damaged.", "Connect again.")
    return data
