"""Configuration by commit: a change is pinned, checked, shown, approved, and deployed or not.

Deployed means that the agent came up with it. Until then `main` of what is deployed stays where it
is, and says what to put back: at once where the agent did not come up, and at the next start where
the server died before anybody could know.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from hyperhive.bus import APPROVALS
from hyperhive.config.spawned import SpawnedAgent, read_settings, require_fitting
from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.configuration import AGENT_JSON, AGENT_NIX, Tag, shortened
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
    OvertakenError,
    UnavailableError,
)
from hyperhive.domain.ports import NixReader, Repositories, Systems
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.services.spawning import require_authority
from hyperhive.services.trials import Trial, Trials
from hyperhive.store import Row, Store, Writing, alerts, audit, spawned
from hyperhive.store import approvals as approval_rows
from hyperhive.store.transaction import Asking

HISTORY_MAX: Final = 200
AGAIN_SECONDS: Final = 30.0
"""After how long what failed is tried again, unless something happens before."""
_TOLD_MAX: Final = 200
_UNEXPECTED: Final = "it failed inside the hive, whose log says why"

_log = logging.getLogger(__name__)


class Deploying:
    """Asks for changes of configuration, and is the executor of ``config_change``."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        approvals: Approvals,
        kept: Repositories,
        trials: Trials,
        nix: NixReader,
        systems: Systems,
    ) -> None:
        self._store = store
        self._agents = agents
        self._approvals = approvals
        self._kept = kept
        self._trials = trials
        self._nix = nix
        self._systems = systems
        self._told: set[int] = set()
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Held while a change of an agent is tried: nobody puts back what is there meanwhile."""
        self._is_settled = False
        """Whether what an earlier process left on trial is put back."""
        self._again: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Put back what an earlier process left on trial, and tag what is denied, for ever."""
        try:
            with self._store.bus.watch(APPROVALS) as watch:
                while True:
                    is_all_told = False
                    try:
                        if not self._is_settled:
                            await self.settle_trials()
                        is_all_told = await self.tell()
                    except Exception:  # noqa: BLE001 - the loop outlives every error
                        _log.exception("configurations could not be looked at; it is tried again")
                    await watch.wait(None if is_all_told else AGAIN_SECONDS)
        finally:
            for task in self._again:
                task.cancel()
            await asyncio.gather(*self._again, return_exceptions=True)

    async def request(
        self, actor: Actor, name: str, commit: str, *, key: str | None = None
    ) -> dict[str, Any]:
        """Ask to deploy a proposed commit: it is pinned and checked before anybody sees it."""
        require_authority(self._agents, actor, "propose a configuration")
        row = await self._store.read(lambda asking: self._require(asking, name))
        self._require_untried(name)
        pinned = await self._kept.pin(name, commit)
        try:
            await self._fitting(name, pinned)
            await self._require_parsed(name, pinned)
            if await self._is_same(name, pinned, row.revision):
                raise ConflictError(f"{pinned[:12]} is what {name} runs already.")
            payload = {
                "commit": pinned,
                "base": row.revision,
                "diff": await self._kept.diff(name, row.revision, pinned),
            }
            title = f"Change the configuration of {name} to {pinned[:12]}"
            details = (
                f"Restarts {name} with commit {pinned}. It is deployed once {name} is ready with "
                "it; otherwise what runs now is put back."
            )
            proposal = Proposal(ApprovalKind.CONFIG_CHANGE, title, details, payload, agent=name)
            asked = await self._approvals.request(actor, proposal, key=key)
            await self._kept.tag(name, Tag.PROPOSAL.of(asked["id"]), pinned)
        finally:
            await self._kept.unpin(name, pinned)
        return {**asked, "commit": pinned}

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse a change against something else than what runs now."""
        name = proposal.agent or ""
        try:
            row = self._require(asking, name)
        except NotFoundError as error:
            raise OvertakenError(f"{name} is no longer in the hive.") from error
        if row.revision != proposal.payload["base"]:
            # What is on trial may be put back, and be what this was proposed for.
            is_final = self._is_settled and not self._is_tried(name)
            raise (OvertakenError if is_final else ConflictError)(
                f"What {name} runs has changed since this was proposed.",
                "Ask for it again, so that the difference to what runs now is shown.",
            )

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Have the agent come up with the pinned commit, and deploy it then.

        Where anything is in the way, what ran before runs on or again, and a tag says why.
        """
        name, commit = str(approved.agent), str(approved.payload["commit"])
        await self._kept.tag(name, Tag.APPROVED.of(approved.id), commit)
        await self._kept.tag(name, Tag.BUILDING.of(approved.id), commit)
        again = Proposal(ApprovalKind.CONFIG_CHANGE, "again", payload=approved.payload, agent=name)
        reason = f"its configuration changes (approval {approved.id})"
        async with self._one_at_a_time[name]:
            try:
                settings = await self._fitting(name, commit)
                await self._systems.build(name, commit)

                def change(work: Writing) -> None:
                    self.refuse(work, again)
                    self._set(work, name, settings, commit)

                trial = await self._trials.begin((name,), reason, change)
                await self._require_up(name, trial)
                subject = f"Deploy {commit[:12]} to {name} (approval {approved.id})"
                revision = await self._kept.deploy(name, commit, approved.id, subject)
                await self._systems.build(name, revision)
            except Exception as error:
                await self._put_back(name)
                said = str(error) if isinstance(error, HiveError) else _UNEXPECTED
                await self._kept.tag(name, Tag.FAILED.of(approved.id), commit, said)
                raise
            await self._store.write(lambda work: self._done(work, name, settings, revision))
        return {"agent": name, "revision": revision, "ready": True if trial.before else None}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Look at the tags: deployed is deployed; everything else has failed, and is tagged so."""
        name, commit = str(approved.agent), str(approved.payload["commit"])
        async with self._one_at_a_time[name]:
            revision = await self._kept.deployed(name, approved.id)
            if revision is not None and not await self._is_same(name, revision, commit):
                # Numbers begin anew with a backup that was restored; its tags are of another time.
                revision = None
            if revision is not None:
                await self._complete(name, commit, revision)
            await self._put_back(name)
        if revision is None:
            said = "The hive stopped before it was deployed."
            await self._kept.tag(name, Tag.FAILED.of(approved.id), commit, said)
            return None
        return {"agent": name, "revision": revision, "ready": None}

    async def settle_trials(self) -> None:
        """Put back what is deployed wherever something else is in place that nobody tries."""
        for row in await self._store.read(spawned.standing):
            lock = self._one_at_a_time[row.name]
            try:
                if await self._kept.main(row.name) == row.revision or lock.locked():
                    continue
                async with lock:
                    is_back = await self._put_back(row.name)
            except HiveError as error:
                _log.warning("what is deployed to %s cannot be read: %s", row.name, error)
            else:
                if is_back:
                    _log.warning("%s runs again what is deployed", row.name)
        self._is_settled = True

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Have the tag set that says no; `tell` sets it, now or at the next start."""

    async def tell(self) -> bool:
        """Set the tags of decisions that have none yet: of what was denied or withdrawn.

        Gives whether all could be set; the others are tried the next time.
        """
        wanted = [row for row in await self._store.read(_said_no) if row.id not in self._told]
        for row in wanted:
            try:
                await self._tell(row)
            except (HiveError, OSError) as error:
                _log.warning("approval %s could not be tagged as denied: %s", row.id, error)
            else:
                self._told.add(row.id)
        return all(row.id in self._told for row in wanted)

    async def redeploy(
        self, operator: Actor, name: str, revision: str, *, via: str
    ) -> dict[str, Any]:
        """Have an agent run what was deployed once; it is deployed again if it comes up.

        That begins when this has returned, with its system where that is no longer there. How it
        ended is seen in the history, or in an alert.
        """
        if not operator.is_operator:
            raise ForbiddenError("Only the operator may deploy an earlier state.")
        await self._store.read(lambda asking: self._require(asking, name))
        self._require_untried(name)
        lock = self._one_at_a_time[name]
        await lock.acquire()
        try:
            found, settings = await self._earlier(name, revision)
            seq = await self._store.write(
                lambda work: self._note_again(work, operator, name, found, via)
            )
        except BaseException:
            lock.release()
            raise
        trying = asyncio.create_task(
            self._deploy_again(name, settings, found), name=f"redeploying {name}"
        )
        self._again.add(trying)
        trying.add_done_callback(self._again.discard)
        trying.add_done_callback(lambda _: lock.release())
        return {"agent": name, "did": "redeploy", "revision": found, "seq": seq}

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

    async def _tell(self, row: Row) -> None:
        approved = approval_rows.approved(row)
        name, commit = str(approved.agent), str(approved.payload["commit"])
        if await self._store.read(partial(spawned.find, name=name)) is not None:
            said = row.note or f"{row.state} by {row.decided_by}"
            await self._kept.tag(name, Tag.DENIED.of(row.id), commit, said)

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

    def _is_tried(self, name: str) -> bool:
        lock = self._one_at_a_time.get(name)
        return lock is not None and lock.locked()

    def _require_untried(self, name: str) -> None:
        if self._is_tried(name):
            raise ConflictError(
                f"A change of {name} is being tried.", "Wait until it is deployed or has failed."
            )

    async def _settings(self, name: str, commit: str) -> SpawnedAgent:
        text = await self._kept.read(name, commit, AGENT_JSON)
        if text is None:
            raise NotFoundError(f"{AGENT_JSON} in commit", shortened(commit, 12))
        return read_settings(text)

    async def _fitting(self, name: str, commit: str) -> SpawnedAgent:
        settings = await self._settings(name, commit)
        require_fitting(self._agents.declared, name, settings)
        return settings

    async def _require_parsed(self, name: str, commit: str) -> None:
        text = await self._kept.read(name, commit, AGENT_NIX)
        fault = None if text is None else await self._nix.fault(text)
        if fault is not None:
            raise InvalidError(
                f"{AGENT_NIX} is no Nix expression: {fault}.", "Correct it and commit again."
            )

    async def _earlier(self, name: str, revision: str) -> tuple[str, SpawnedAgent]:
        """Find an earlier state that an agent can be brought to, and what it says."""
        row = await self._store.read(lambda asking: self._require(asking, name))
        found = await self._kept.earlier(name, revision)
        if found == row.revision:
            raise ConflictError(f"{found[:12]} is what {name} runs already.")
        await self._require_parsed(name, found)
        return found, await self._fitting(name, found)

    def _note_again(
        self, work: Writing, operator: Actor, name: str, revision: str, via: str
    ) -> int:
        self._require(work, name)
        alerts.clear_alert(work, _key(name))
        subject, detail = f"agent:{name}", {"revision": revision}
        audit.add(
            work, actor=operator.name, via=via, verb="redeploy", subject=subject, detail=detail
        )
        return work.seq

    async def _deploy_again(self, name: str, settings: SpawnedAgent, revision: str) -> None:
        """Deploy what was deployed once if the agent comes up with it; otherwise alert."""
        reason = f"an earlier configuration is deployed again ({revision[:12]})"

        def change(work: Writing) -> None:
            self._require(work, name)
            self._set(work, name, settings, revision)

        try:
            await self._systems.build(name, revision)
            trial = await self._trials.begin((name,), reason, change)
            await self._require_up(name, trial)
            subject = f"Deploy {revision[:12]} to {name} again"
            new = await self._kept.deploy(name, revision, None, subject)
            await self._systems.build(name, new)
            await self._store.write(lambda work: self._done(work, name, settings, new))
        except Exception as error:  # noqa: BLE001 - whoever asked has been answered
            _log.warning("%s was not deployed to %s again: %s", revision, name, error)
            text = f"{revision[:12]} is not deployed to {name} again: {error}"

            def tell(work: Writing) -> None:
                alerts.raise_alert(work, _key(name), text, severity="error", agent=name)

            await self._store.write(tell)
            await self._put_back(name)

    async def _require_up(self, name: str, trial: Trial) -> None:
        failure = (await self._trials.failures(trial)).get(name)
        if failure is not None:
            raise UnavailableError(
                f"{name} did not come up with it: {failure}.",
                f"What ran before runs again; the log of {name}'s box says more.",
            )

    async def _put_back(self, name: str) -> bool:
        """Have an agent run what is deployed, if something else is in place; whether it was.

        The caller keeps everybody else from changing either of them meanwhile.
        """
        row = await self._store.read(partial(spawned.find, name=name))
        if row is None or (revision := await self._kept.main(name)) == row.revision:
            return False
        settings = await self._settings(name, revision)
        reason = "the configuration that is deployed is put back"
        await self._store.write(
            lambda work: self._trials.restart_with(
                work, (name,), reason, lambda work: self._set(work, name, settings, revision)
            )
        )
        return True

    async def _complete(self, name: str, commit: str, revision: str) -> None:
        """Record that what was on trial is deployed now, unless something else is in place."""
        settings = await self._settings(name, revision)

        def job(work: Writing) -> None:
            row = spawned.find(work, name)
            if row is not None and row.revision == commit:
                self._done(work, name, settings, revision)

        await self._store.write(job)

    async def _is_same(self, name: str, one: str, other: str) -> bool:
        return await self._kept.tree(name, one) == await self._kept.tree(name, other)

    def _done(self, work: Writing, name: str, settings: SpawnedAgent, revision: str) -> None:
        """Record what is deployed now."""
        self._set(work, name, settings, revision)
        alerts.clear_alert(work, _key(name))

    def _set(self, work: Writing, name: str, settings: SpawnedAgent, revision: str) -> None:
        """Record what is in place; the reconciler makes the box that it asks for."""
        text = settings.model_dump_json(exclude_unset=True)
        spawned.change(work, name, settings_json=text, revision=revision)
        self._agents.take(work, self._agents.declared)


def _key(name: str) -> str:
    return f"deploy:{name}"


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
