"""Telling systemd that the loop is up and still looping.

Outside systemd, where there is no ``NOTIFY_SOCKET``, all of it does nothing. The variables are
taken out of the environment, so that no program an agent runs can speak for the harness.
"""

import os
import socket
from collections.abc import MutableMapping


class Watchdog:
    """The notify socket of the unit this process is the main process of, if it is one."""

    def __init__(self, address: str | None, period_seconds: float | None) -> None:
        self._address = address
        self.period_seconds = period_seconds
        """How often to feed it, half of what the unit allows; ``None`` when nobody watches."""

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Watchdog":
        """Take systemd's variables out of ``environment``."""
        address = environment.pop("NOTIFY_SOCKET", None)
        allowed = environment.pop("WATCHDOG_USEC", None)
        watched = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        valid = address and allowed and allowed.isdigit() and watched
        return cls(address or None, int(allowed or 0) / 2e6 if valid else None)

    def ready(self) -> None:
        """Say that the loop runs; the server need not be there yet."""
        self._tell(b"READY=1")

    def feed(self) -> None:
        """Say that the loop still loops."""
        if self.period_seconds is not None:
            self._tell(b"WATCHDOG=1")

    def _tell(self, state: bytes) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(state, address)
        except OSError:
            # A manager that does not listen restarts the unit by its own rules; failing here
            # would only end a loop that works.
            return
