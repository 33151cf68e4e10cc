"""Configuration by commit: a change is pinned, checked, shown, approved, and deployed or not."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from hyperhive.bus import APPROVALS, LIFECYCLE
from hyperhive.config.spawned import SpawnedAgent, read_settings, require_fitting
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.configuration import AGENT_JSON, Tag, shortened
from hyperhive.domain.errors import ConflictError, ForbiddenError, HiveError, NotFoundError
from hyperhive.domain.ports import Repositories
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.services.spawning import require_authority
from hyperhive.store import Row, Store, Writing, audit, spawned
from hyperhive.store import approvals as approval_rows
from hyperhive.store.transaction import Asking

HISTORY_MAX: Final = 200
_TOLD_MAX: Final = 200

_log = logging.getLogger(__name__)


class Deploying:
    """Asks for changes of configuration, and is the executor of ``config_change``."""

    def __init__(
        self, store: Store, agents: Agents, approvals: Approvals, kept: Repositories
    ) -> None:
        self._store = store
        self._agents = agents
        self._approvals = approvals
        self._kept = kept
        self._told: set[int] = set()

    async def run(self) -> None:
        """Keep the tags of what was denied in step with the decisions, for ever."""
        with self._store.bus.watch(APPROVALS) as watch:
            while True:
                try:
                    await self.tell()
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("the tags of decisions could not be set; it is tried again")
                await watch.wait()

    async def request(
        self, actor: Actor, name: str, commit: str, *, key: str | None = None
    ) -> dict[str, Any]:
        """Ask to deploy a proposed commit: it is pinned and checked before anybody sees it."""
        require_authority(self._agents, actor, "propose a configuration")
        row = await self._store.read(lambda asking: self._require(asking, name))
        pinned = await self._kept.pin(name, commit)
        try:
            await self._settings(name, pinned)
            if pinned == row.revision:
                raise ConflictError(f"{pinned[:12]} is what {name} runs already.")
            payload = {
                "commit": pinned,
                "base": row.revision,
                "diff": await self._kept.diff(name, row.revision, pinned),
            }
            title = f"Change the configuration of {name} to {pinned[:12]}"
            details = f"Deploys commit {pinned} and restarts {name}."
            proposal = Proposal(ApprovalKind.CONFIG_CHANGE, title, details, payload, agent=name)
            asked = await self._approvals.request(actor, proposal, key=key)
            await self._kept.tag(name, Tag.PROPOSAL.of(asked["id"]), pinned)
        finally:
            await self._kept.unpin(name, pinned)
        return {**asked, "commit": pinned}

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse a change against something else than what runs now."""
        name = proposal.agent or ""
        row = self._require(asking, name)
        if row.revision != proposal.payload["base"]:
            raise ConflictError(
                f"What {name} runs has changed since this was proposed.",
                "Ask for it again, so that the difference to what runs now is shown.",
            )

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Deploy the pinned commit; on any refusal what ran before goes on, and a tag says why."""
        name, commit = str(approved.agent), str(approved.payload["commit"])
        await self._kept.tag(name, Tag.APPROVED.of(approved.id), commit)
        await self._kept.tag(name, Tag.BUILDING.of(approved.id), commit)
        try:
            settings = await self._settings(name, commit)
            proposal = Proposal(
                ApprovalKind.CONFIG_CHANGE, "again", payload=approved.payload, agent=name
            )
            await self._store.read(lambda asking: self.refuse(asking, proposal))
            subject = f"Deploy {commit[:12]} to {name} (approval {approved.id})"
            revision = await self._kept.deploy(name, commit, approved.id, subject)
        except HiveError as error:
            await self._kept.tag(name, Tag.FAILED.of(approved.id), commit, str(error))
            raise
        await self._take(name, settings, revision)
        return {"agent": name, "revision": revision}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Look at the tags: deployed is deployed; everything else has failed, and is tagged so."""
        name, commit = str(approved.agent), str(approved.payload["commit"])
        revision = await self._kept.deployed(name, approved.id)
        if revision is None:
            said = "The hive stopped before it was deployed."
            await self._kept.tag(name, Tag.FAILED.of(approved.id), commit, said)
            return None
        await self._take(name, await self._settings(name, revision), revision)
        return {"agent": name, "revision": revision}

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Have the tag set that says no; `tell` sets it, now or at the next start."""

    async def tell(self) -> None:
        """Set the tags of decisions that have none yet: of what was denied or withdrawn."""
        for row in await self._store.read(_said_no):
            if row.id in self._told:
                continue
            self._told.add(row.id)
            approved = approval_rows.approved(row)
            name, commit = str(approved.agent), str(approved.payload["commit"])
            if await self._store.read(partial(spawned.find, name=name)) is not None:
                said = row.note or f"{row.state} by {row.decided_by}"
                await self._kept.tag(name, Tag.DENIED.of(row.id), commit, said)

    async def redeploy(
        self, operator: Actor, name: str, revision: str, *, via: str
    ) -> dict[str, Any]:
        """Deploy again what was deployed once."""
        if not operator.is_operator:
            raise ForbiddenError("Only the operator may deploy an earlier state.")
        row = await self._store.read(lambda asking: self._require(asking, name))
        found = await self._kept.earlier(name, revision)
        if found == row.revision:
            raise ConflictError(f"{found[:12]} is what {name} runs already.")
        settings = await self._settings(name, found)
        subject = f"Deploy {found[:12]} to {name} again"
        new = await self._kept.deploy(name, found, None, subject)

        def note(work: Writing) -> None:
            detail = {"revision": found, "deployed": new}
            subject = f"agent:{name}"
            audit.add(
                work, actor=operator.name, via=via, verb="redeploy", subject=subject, detail=detail
            )

        seq = await self._take(name, settings, new, note)
        return {"agent": name, "did": "redeploy", "revision": new, "seq": seq}

    async def history(self, name: str) -> dict[str, Any]:
        """List what was deployed to an agent, newest first."""
        await self._store.read(lambda asking: self._require(asking, name))
        found = await self._kept.history(name, HISTORY_MAX)
        return {
            "deployments": [
                {
                    "commit": each.commit,
                    "subject": each.subject,
                    "author": each.author,
                    "at": each.at,
                    "tags": list(each.tags),
                }
                for each in found
            ]
        }

    def _require(self, asking: Asking, name: str) -> Row:
        if name in self._agents.declared.agents:
            raise ForbiddenError(
                f"{name} is declared, and no commit changes it.",
                f"The admin edits agents.{name} in the declaration.",
            )
        row = spawned.find(asking, name)
        if row is None or row.removed_at is not None:
            raise NotFoundError("spawned agent", name)
        return row

    async def _settings(self, name: str, commit: str) -> SpawnedAgent:
        text = await self._kept.read(name, commit, AGENT_JSON)
        if text is None:
            raise NotFoundError(f"{AGENT_JSON} in commit", shortened(commit, 12))
        settings = read_settings(text)
        require_fitting(self._agents.declared, name, settings)
        return settings

    async def _take(
        self, name: str, settings: SpawnedAgent, revision: str, note: Any = None
    ) -> int:
        """Make these settings what runs; the reconciler restarts the agent in order."""

        def job(work: Writing) -> int:
            text = settings.model_dump_json(exclude_unset=True)
            spawned.change(work, name, settings_json=text, revision=revision)
            self._agents.take(work, self._agents.declared)
            if note is not None:
                note(work)
            work.wake(LIFECYCLE)
            return work.seq

        return await self._store.write(job)


def _said_no(asking: Asking) -> list[Row]:
    found = (
        approval_rows.find(asking, shown["id"])
        for state in (ApprovalState.DENIED, ApprovalState.CANCELLED)
        for shown in approval_rows.search(
            asking, before=None, limit=_TOLD_MAX, state=state, requester=None
        )
        if shown["kind"] == ApprovalKind.CONFIG_CHANGE.value
    )
    return [row for row in found if row is not None]
