"""Follows pull requests: at once where a webhook tells of one, and by looking at all as a net."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from hyperhive.domain.errors import ForgeUnavailableError, HiveError, NotFoundError
from hyperhive.domain.forge import Pull, PullState, Repository
from hyperhive.domain.forge_port import Forge
from hyperhive.services.pulls import Pulls
from hyperhive.store import Store
from hyperhive.store import forge as rows

POLL_SECONDS: Final = 60.0
RECENT_SECONDS: Final = 180.0
"""A forge tells times in whole seconds: what changed lately may have changed again since."""
QUEUED_MAX: Final = 1000

Place = tuple[str, str, int]
"""Owner, repository and number."""

_log = logging.getLogger(__name__)


class Watcher:
    """Hears what the forge tells, and looks at what it has."""

    def __init__(
        self,
        store: Store,
        forge: Forge,
        pulls: Pulls,
        docs: Callable[[], str],
        docs_changed: Callable[[], None],
        seen: Callable[[Sequence[Repository]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._forge = forge
        self._pulls = pulls
        self._docs = docs
        self._docs_changed = docs_changed
        self._seen = seen
        self._told: dict[Place, str | None] = {}
        self._woken = asyncio.Event()
        self._look_at_all = True
        self._list_anew = True

    def hear(self, event: str, told: dict[str, Any]) -> None:
        """Note what a webhook tells; it is looked up before anything comes of it."""
        repository = told.get("repository")
        full = repository.get("full_name") if isinstance(repository, dict) else None
        if not isinstance(full, str) or full.count("/") != 1:
            return
        if event == "push":
            if full == self._docs():
                self._docs_changed()
            self._list_anew = True
            self._woken.set()
            return
        pull = told.get("pull_request") or told.get("issue")
        number = pull.get("number") if isinstance(pull, dict) else told.get("number")
        if isinstance(number, int) and len(self._told) < QUEUED_MAX:
            sender = told.get("sender")
            by = sender.get("login") if isinstance(sender, dict) else None
            owner, _, name = full.partition("/")
            self._told[owner, name, number] = by if isinstance(by, str) else None
        else:
            self._look_at_all = True
        self._woken.set()

    def wake(self) -> None:
        """Look at all pull requests now."""
        self._look_at_all = True
        self._woken.set()

    async def run(self) -> None:
        """Follow for ever; a forge that is down is asked again by the next look."""
        while True:
            self._woken.clear()
            try:
                await self.look()
            except HiveError as error:
                _log.info("pull requests are not looked at: %s", error)
            except Exception:  # noqa: BLE001 - the loop outlives every error
                _log.exception("pull requests could not be looked at; it is tried again")
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                self._look_at_all = True

    async def look(self) -> None:
        """Look up what was told of and, if it is time, everything else."""
        while self._told:
            # Taken out before the look: what is told meanwhile is looked up again.
            place = next(iter(self._told))
            by = self._told.pop(place)
            try:
                await self._look_at(*place, by=by)
            except ForgeUnavailableError:
                self._told.setdefault(place, by)
                raise
            except HiveError as error:
                _log.info("%s/%s#%d cannot be seen: %s", *place, error)
        if self._look_at_all or self._list_anew:
            around, self._look_at_all, self._list_anew = self._look_at_all, False, False
            try:
                await self._look_around(pulls=around)
            except BaseException:
                self._look_at_all, self._list_anew = around, True
                raise

    async def _look_around(self, *, pulls: bool) -> None:
        """List the repositories anew and, with ``pulls``, look for pull requests in each."""
        orgs = await self._store.read(lambda asking: rows.kept(asking, rows.ORGANISATION))
        found: list[Repository] = []
        for org in sorted(orgs):
            try:
                found += await self._forge.repositories(org)
            except NotFoundError:
                continue
        await self._seen(found)
        for repository in found if pulls else ():
            await self._look_through(repository)

    async def _look_through(self, repository: Repository) -> None:
        known = await self._pulls.open_now(repository.full_name)
        recent = self._store.clock() - RECENT_SECONDS
        for pull in await self._forge.pulls(repository.owner, repository.name):
            before = known.pop(pull.number, None)
            if before != pull.updated_at or pull.updated_at > recent:
                await self._note(pull, None)
        for number in known:
            await self._look_at(repository.owner, repository.name, number, by=None)

    async def _look_at(self, owner: str, name: str, number: int, *, by: str | None) -> None:
        await self._note(await self._forge.pull(owner, name, number), by)

    async def _note(self, pull: Pull, by: str | None) -> None:
        place = (pull.owner, pull.repository, pull.number)
        comments = await self._forge.comments(*place)
        reviews = await self._forge.reviews(*place)
        # An opening is its author's; who merged it is in the pull request.
        who = by if pull.state is not PullState.OPEN else None
        if who is None and pull.state is PullState.CLOSED:
            who = await self._forge.closed_by(pull)
        await self._pulls.note(pull, comments, reviews, by=who)
