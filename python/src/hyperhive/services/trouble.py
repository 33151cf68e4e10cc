"""What a job that is done again and again makes known of itself: an alert while it fails.

The loop goes on whatever happens in an attempt, also when the database cannot even take the alert.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hyperhive.domain.errors import HiveError
from hyperhive.store import Store, alerts

_log = logging.getLogger(__name__)


class Trouble:
    """The alert ``chore:NAME`` of one job: it stands from a failure until an attempt goes well."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.lasts = False
        """Whether the latest attempt failed."""
        # Whatever the server before this one has said of it may be over.
        self._may_stand = True

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Make one attempt in the block; its error is told to the operator and goes no further."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the job is done again later
            _log_error(f"{self._name} failed; it is done again", error)
            self.lasts = True
            await self._note(str(error) or type(error).__name__)
        else:
            self.lasts = False
            if self._may_stand:
                await self._note(None)

    async def _note(self, reason: str | None) -> None:
        key = f"chore:{self._name}"
        try:
            if reason is None:
                if await self._store.read(lambda asking: alerts.text_of(asking, key)) is not None:
                    await self._store.write(lambda work: alerts.clear_alert(work, key))
            else:
                text = f"{self._name.capitalize()} failed and is tried again: {reason}"
                await self._store.write(
                    lambda work: alerts.raise_alert(work, key, text, severity="error")
                )
        except Exception as error:  # noqa: BLE001 - the loop outlives a database that cannot be written
            _log_error(f"what became of {self._name} could not be noted", error)
        else:
            self._may_stand = reason is not None


def _log_error(what: str, error: Exception) -> None:
    """Log an error, in one line where it says itself what to do."""
    _log.error("%s: %s", what, error, exc_info=None if isinstance(error, HiveError) else error)
