"""The probe of the box, run beside the start of the harness, which it must not hold up.

It takes some ten milliseconds and may take a second where the operator's port does not answer. A
thread of its own does it, which nobody waits for when the harness ends.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from hyperhive.harness.probe import VERSION, probe

WAIT_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


class Probing:
    """One look at the box, begun when this is made."""

    def __init__(
        self,
        environment: Mapping[str, str],
        look: Callable[[Mapping[str, str]], dict[str, Any]] = probe,
    ) -> None:
        self._found: Future[dict[str, Any]] = Future()
        threading.Thread(target=self._look, args=(look, environment), daemon=True).start()

    @property
    def found(self) -> dict[str, Any] | None:
        """What was found; ``None`` as long as it is looked for."""
        return self._found.result() if self._found.done() else None

    async def done(self, timeout_seconds: float | None = None) -> None:
        """Return when it is done, or when the time has passed."""
        await asyncio.wait({asyncio.wrap_future(self._found)}, timeout=timeout_seconds)

    def _look(
        self, look: Callable[[Mapping[str, str]], dict[str, Any]], environment: Mapping[str, str]
    ) -> None:
        try:
            self._found.set_result(look(environment))
        except Exception as error:  # noqa: BLE001 -- an agent works, whatever its box is like
            _log.warning("The box could not be looked at.", exc_info=True)
            text = f"{type(error).__name__}: {error}"
            self._found.set_result({"version": VERSION, "error": text[:500]})
