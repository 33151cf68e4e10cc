"""How the forge stands, and what the operator asks of it; each change is an event."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from hyperhive.domain.actors import Actor
from hyperhive.domain.errors import ConflictError, ForbiddenError
from hyperhive.domain.forge import Repository
from hyperhive.store import Reading, Store, Writing, alerts, audit
from hyperhive.store import forge as rows

CLOSED_SHOWN: Final = 50
ALERT: Final = "forge"


class ForgeDesk:
    """What the rest of the hive sees of its forge; without a ``kind`` there is none."""

    def __init__(self, store: Store, kind: str | None = None) -> None:
        self._store = store
        self.kind = kind
        self.url: str | None = None
        self.state = "starting"
        self.reason: str | None = None
        self.reissue: Callable[[str], Awaitable[None]] | None = None
        """Makes an account's token anew; set by whoever provisions the forge."""
        self.admit: Callable[[], Awaitable[tuple[str, str]]] | None = None
        """Gives the operator's account another password: name and password; set like the other."""
        self._repositories: tuple[Repository, ...] = ()

    def is_usable(self) -> bool:
        """Say whether it was reached when last looked at, and what it could do was done."""
        return self.state in ("ready", "incomplete")

    def standing(self) -> dict[str, Any] | None:
        """Say which forge there is and how it stands."""
        if self.kind is None:
            return None
        return {
            "kind": self.kind,
            "url": self.url,
            "state": self.state,
            "reason": self.reason,
        }

    def shown(self, asking: Reading) -> dict[str, Any] | None:
        """Show the forge as the operator's snapshot does: all that is open, the latest closed."""
        standing = self.standing()
        if standing is None:
            return None
        pulls = (*rows.closed_pulls(asking, CLOSED_SHOWN), *rows.open_pulls(asking))
        shown = [rows.shown_pull(row) for row in sorted(pulls, key=lambda row: int(row.id))]
        return {**standing, "pull_requests": shown}

    async def listing(self) -> dict[str, Any]:
        """Show the forge, with the accounts and organisations that the hive keeps on it."""

        def job(asking: Reading) -> dict[str, Any]:
            return {
                "forge": self.shown(asking),
                "accounts": sorted(rows.kept(asking, rows.ACCOUNT)),
                "organisations": sorted(rows.kept(asking, rows.ORGANISATION)),
            }

        return await self._store.read(job)

    async def repositories(self) -> dict[str, Any]:
        """Show the repositories of the hive's organisations, as they were when last looked at."""
        pulls = await self._store.read(rows.open_pulls)
        count = Counter(row.repository for row in pulls)
        shown = [
            {
                "name": each.full_name,
                "description": each.description,
                "url": each.html_url,
                "clone_url": each.clone_url,
                "branch": each.default_branch,
                "empty": each.empty,
                "open_pulls": count[each.full_name],
                "updated_at": each.updated_at,
            }
            for each in self._repositories
        ]
        return {"repositories": shown}

    async def note_repositories(self, found: Sequence[Repository]) -> None:
        """Take up what repositories there are; that they are others is an event."""
        fresh = tuple(sorted(found, key=lambda each: each.full_name))
        if fresh != self._repositories:
            self._repositories = fresh
            await self._store.write(lambda work: rows.note_repositories(work, len(fresh)))

    async def note(self, state: str, reason: str | None = None, url: str | None = None) -> None:
        """Say how the forge stands now; what is no good is an alert, too."""
        after = (state, reason, url or self.url)
        if after == (self.state, self.reason, self.url) and state == "ready":
            return
        self.state, self.reason, self.url = after

        def job(work: Writing) -> None:
            if reason is None:
                alerts.clear_alert(work, ALERT)
            else:
                alerts.raise_alert(work, ALERT, reason)
            rows.note_standing(work, self.standing() or {})

        await self._store.write(job)

    async def rotate(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Make an account's token anew; the one before it is void at once."""
        if not operator.is_operator:
            raise ForbiddenError("Only the operator may rotate a token.")
        if self.reissue is None:
            raise self._not_yet()
        await self.reissue(name)
        return await self._did(operator, "rotate", name, via)

    async def new_password(self, operator: Actor, *, via: str) -> dict[str, Any]:
        """Give the operator's account another password, which is told here and nowhere else."""
        if not operator.is_operator:
            raise ForbiddenError("Only the operator may log in as the operator.")
        if self.admit is None:
            raise self._not_yet()
        account, password = await self.admit()
        done = await self._did(operator, "password", account, via)
        return {**done, "password": password, "url": self.url}

    def _not_yet(self) -> ConflictError:
        if self.kind is None:
            return ConflictError("This hive has no forge.", "Declare one: forge.kind.")
        return ConflictError("The forge is not reached yet.", "See how it stands: hyperhive forge.")

    async def _did(self, operator: Actor, verb: str, account: str, via: str) -> dict[str, Any]:
        def job(work: Writing) -> dict[str, Any]:
            subject = f"forge:{account}"
            audit.add(work, actor=operator.name, via=via, verb=verb, subject=subject)
            return {"account": account, "did": verb, "seq": work.seq}

        return await self._store.write(job)
