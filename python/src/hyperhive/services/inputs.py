"""Newer inputs for the systems of spawned agents: looked for, shown, approved, put in place.

What is approved is the very lock that was shown. The agents are restarted with it, and where one
does not come up, or the server dies before that is known, the lock of before is put back for all
of them.

Boxes of the kinds process and bubblewrap run the host's own programs, and a declared container
follows the host's configuration: where there are only such, the port refuses with that reason.
"""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from hyperhive.domain.actors import Actor
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.inputs import changes, difference
from hyperhive.domain.ports import Inputs, Systems
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.services.spawning import require_authority
from hyperhive.services.trials import Trials
from hyperhive.store import Store, Writing, spawned
from hyperhive.store.transaction import Asking

TITLE: Final = "Update the inputs of spawned agents"


class UpdatingInputs:
    """Asks for newer inputs, and is the executor of ``input_update``."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        approvals: Approvals,
        inputs: Inputs,
        trials: Trials,
        systems: Systems,
    ) -> None:
        self._store = store
        self._agents = agents
        self._approvals = approvals
        self._inputs = inputs
        self._trials = trials
        self._systems = systems
        self._looking = asyncio.Lock()
        self._trying = asyncio.Lock()

    async def request(
        self, actor: Actor, *, key: str | None = None, via: str = "server"
    ) -> dict[str, Any]:
        """Ask for the newest inputs; the approval shows what each of them changes to."""
        require_authority(self._agents, actor, "ask for newer inputs")
        if self._looking.locked():
            raise ConflictError("Somebody looks for newer inputs now.", "Wait for what they find.")
        async with self._looking:
            old = await self._inputs.lock()
            new = await self._inputs.newer()
        told = list(changes(old, new))
        if not told:
            raise ConflictError("The inputs of spawned agents are the newest already.")
        details = "\n".join(
            (*told, "", "Every spawned agent is built and restarted with them, or none.")
        )
        payload = {"base": _digest(old), "lock": new, "diff": difference(old, new)}
        proposal = Proposal(ApprovalKind.INPUT_UPDATE, TITLE, details, payload)
        return await self._approvals.request(actor, proposal, key=key, via=via)

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse nothing yet: what is in place is looked at when it is carried out."""

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Put the lock in place and have every spawned agent come up with it, or put back."""
        async with self._trying:
            return {"agents": await self._try_out(approved)}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Put back what is on trial; otherwise it is done if the approved lock is in place."""
        if await self._put_back():
            return None
        in_place = await self._inputs.lock()
        if in_place != approved.payload["lock"]:
            return None
        return {"agents": None}

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Write nothing more."""

    async def _try_out(self, approved: Approved) -> list[str]:
        old = await self._inputs.lock()
        if _digest(old) != approved.payload["base"]:
            raise ConflictError(
                "The inputs have changed since this was proposed.",
                "Ask for it again, so that the difference to what is in place is shown.",
            )
        names, lock = await self._store.read(_names), str(approved.payload["lock"])
        # Before anything changes: a lock with which one cannot be built is refused by that.
        for name, commit in tuple(self._agents.revisions.items()):
            await self._systems.build(name, commit, lock=lock)
        reason = f"its inputs are updated (approval {approved.id})"
        await self._inputs.try_out(lock)
        try:
            trial = await self._trials.begin(names, reason, _nothing)
            failed = await self._trials.failures(trial)
            if failed:
                said = "; ".join(f"{name}: {why}" for name, why in sorted(failed.items()))
                raise UnavailableError(
                    f"Not every agent came up with the new inputs: {said}.",
                    "The inputs of before are put back.",
                )
            await self._inputs.keep()
        except Exception:
            await self._put_back()
            raise
        return list(names)

    async def _put_back(self) -> bool:
        if not await self._inputs.put_back():
            return False
        names, reason = await self._store.read(_names), "the inputs of before are put back"
        await self._store.write(
            lambda work: self._trials.restart_with(work, names, reason, _nothing)
        )
        return True


def _names(asking: Asking) -> tuple[str, ...]:
    return tuple(row.name for row in spawned.standing(asking))


def _nothing(work: Writing) -> None:
    """Change no row: what changes lies beside the store."""
    del work


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
