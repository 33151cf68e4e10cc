"""Agents that come at run time: asked for by the manager or the operator, approved, made.

What is spawned is a row beside the declaration, and its configuration a commit. Both are there
before the agent is, so a crash in the middle leaves either an agent or nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hyperhive.bus import LIFECYCLE
from hyperhive.config import RuntimeKind
from hyperhive.config.spawned import (
    SpawnedAgent,
    read_settings,
    require_fitting,
    settings_text,
)
from hyperhive.domain.actors import THE_SYSTEM, Actor, Role, name_fault
from hyperhive.domain.agents import CONNECTED
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.configuration import AGENT_JSON, AGENT_NIX, Tag
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
    OvertakenError,
    UnavailableError,
)
from hyperhive.domain.ports import Repositories, Systems
from hyperhive.services.agents import Agents
from hyperhive.services.approvals import Approvals
from hyperhive.store import Store, Writing, alerts, audit, messages, spawned
from hyperhive.store import agents as rows
from hyperhive.store import approvals as approval_rows
from hyperhive.store.messages import Draft
from hyperhive.store.transaction import Asking

HELLO_SECONDS: Final = 90.0
"""How long a new agent may take to say hello before the result says that it has not."""

_README: Final = """\
# {name}

What {name} is. `agent.json` says it; its keys are `description`, `systemPrompt`, `driver` (`model`,
`fallbackModel`, `turnLimitSeconds`), `tools` and `mayMessage`.{more} Everything else is the admin's
to declare.

The manager changes it here, commits, and asks with `request_apply_commit`; the operator sees the
difference to what runs, and decides.
"""
_README_NIX: Final = " `agent.nix` says which programs it finds."
_AGENT_NIX: Final = """\
# The programs of {name} beyond those that every agent has; nothing else can be said here.
{{ pkgs, ... }}:
{{
  environment.systemPackages = [ ];
}}
"""


_log = logging.getLogger(__name__)


async def _nothing(_name: str) -> None:
    return None


class Spawning:
    """Asks for agents, and is the executor of ``spawn``."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        approvals: Approvals,
        kept: Repositories,
        systems: Systems,
    ) -> None:
        self._store = store
        self._agents = agents
        self._approvals = approvals
        self._kept = kept
        self._systems = systems
        self.let_in: Callable[[str], Awaitable[object]] = _nothing
        """Opens a new agent's socket."""
        self.awaits_hello = False
        """Whether this server runs boxes, so that a new agent is worth waiting for."""

    async def request(
        self,
        actor: Actor,
        name: str,
        description: str,
        *,
        system_prompt: str = "",
        model: str | None = None,
        key: str | None = None,
        via: str = "server",
    ) -> dict[str, Any]:
        """Ask for a new agent; the answer names the approval that the operator decides."""
        require_authority(self._agents, actor, "ask for a new agent")
        given: dict[str, Any] = {"description": description}
        if system_prompt:
            given["systemPrompt"] = system_prompt
        if model is not None:
            given["driver"] = {"model": model}
        text = settings_text(SpawnedAgent.model_validate(given))
        settings = read_settings(text)
        manager = self._agents.hive.agents[self._agents.hive.manager_name]
        payload = {
            "name": name,
            "agent_json": text,
            "runtime": manager.runtime.value,
            "driver": manager.driver.kind.value,
        }
        details = (
            f"{settings.description}\n\nIt runs as a worker in a box of the runtime "
            f"{manager.runtime.value}, by the driver {manager.driver.kind.value}, with the limits "
            "of the manager."
        )
        title = f"Spawn the agent {name}" if name_fault(name) is None else "Spawn an agent"
        proposal = Proposal(ApprovalKind.SPAWN, title, details, payload)
        return await self._approvals.request(
            actor,
            proposal,
            key=key,
            check=lambda asking: _require_unasked(asking, name),
            via=via,
        )

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse a name that cannot be had, and one agent too many."""
        hive = self._agents.declared
        if (fault := self._systems.fault()) is not None:
            raise UnavailableError(
                f"The system of a new agent cannot be built: {fault}",
                "Have the admin set services.hyperhive.spawned.enable, or declare the agent.",
            )
        name = str(proposal.payload["name"])
        if (fault := name_fault(name)) is not None:
            raise InvalidError(fault, "Choose another name.")
        row = rows.find(asking, name)
        if row is not None and row.present:
            raise OvertakenError(f"{name} is an agent of this hive.", "Choose another name.")
        if row is not None or spawned.find(asking, name) is not None:
            raise OvertakenError(
                f"{name} was an agent of this hive, and its state is kept.",
                "Choose another name, or have the operator revive it or purge its tombstone.",
            )
        if len(self._agents.hive.agents) >= hive.limits.agents:
            raise ConflictError(
                f"The hive has {len(self._agents.hive.agents)} agents; "
                f"limits.agents is {hive.limits.agents}.",
                "Give the work to one that is there, or have the operator destroy one.",
            )
        settings = read_settings(str(proposal.payload["agent_json"]))
        require_fitting(self._agents.declared, name, settings)

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Make the agent: its repositories, then its row, then its socket; its box follows."""
        name, text = str(approved.payload["name"]), str(approved.payload["agent_json"])
        proposal = Proposal(ApprovalKind.SPAWN, "again", payload=approved.payload)
        await self._store.read(lambda asking: self.refuse(asking, proposal))
        revision = await self._kept.seed(
            name,
            seed(name, text, RuntimeKind(approved.payload["runtime"])),
            subject=f"Spawn {name} (approval {approved.id})",
            manager=self._agents.hive.manager_name,
        )
        try:
            await self._systems.build(name, revision)
        except HiveError:
            await self._clear(name)
            raise
        await self._kept.tag(name, Tag.DEPLOYED.of(approved.id), revision)

        def job(work: Writing) -> None:
            self.refuse(work, proposal)
            settings = read_settings(text).model_dump_json(exclude_unset=True)
            spawned.add(
                work,
                name,
                settings,
                requester=approved.requester,
                approval=approved.id,
                revision=revision,
            )
            self._agents.take(work, self._agents.declared)
            work.wake(LIFECYCLE)

        await self._store.write(job)
        is_ready: bool | None = None
        if not await self._let_in(name):
            is_ready = False
        elif self.awaits_hello:
            is_ready = await self._hello(name)
        return {"agent": name, "revision": revision, "ready": is_ready}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Say whether the agent had come to be; what was half made of it is cleared away."""
        name = str(approved.payload["name"])
        row = await self._store.read(lambda asking: spawned.find(asking, name))
        if row is not None and row.approval == approved.id:
            return {"agent": name, "revision": row.revision, "ready": None}
        if row is None and name_fault(name) is None:
            await self._clear(name)
        return None

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Announce the new agent to the manager, in the commit that says it is done."""
        manager = self._agents.roster.manager
        name = str(approved.payload["name"])
        if state is not ApprovalState.DONE or manager is None:
            return
        body = (
            f"agent_spawned: {name} is an agent of the hive now; send it its first work. Its "
            f"configuration is the git repository $HYPERHIVE_AGENTS/{name}/config: change it, "
            "commit, and ask with request_apply_commit."
        )
        if self.awaits_hello and self._agents.state_of(name) not in CONNECTED:
            body += f" {name} has not said hello yet: get_logs shows why."
        messages.add(work, Draft(THE_SYSTEM, manager, body))

    async def destroy(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Remove a spawned agent; a tombstone stays, and its state is kept."""
        return await self._set(operator, "destroy", name, via, is_there=True)

    async def revive(self, operator: Actor, name: str, *, via: str) -> dict[str, Any]:
        """Bring back a spawned agent that was destroyed, as it was."""
        return await self._set(operator, "revive", name, via, is_there=False)

    async def forget(self, name: str) -> None:
        """Remove the configuration of an agent that was purged."""
        await self._store.write(lambda work: spawned.forget(work, name))
        if name not in self._agents.hive.agents and name_fault(name) is None:
            await self._clear(name)

    async def _clear(self, name: str) -> None:
        """Remove what was made of an agent that is not there."""
        await self._kept.remove(name)
        await self._systems.remove(name)

    async def _set(
        self, operator: Actor, verb: str, name: str, via: str, *, is_there: bool
    ) -> dict[str, Any]:
        if not operator.is_operator:
            raise ForbiddenError(f"Only the operator may {verb} an agent.")
        if name in self._agents.declared.agents:
            raise ForbiddenError(
                f"{name} is declared, and the declaration is not changed from here.",
                f"Remove agents.{name} from the declaration; its state is then kept as a "
                "tombstone.",
            )

        def job(work: Writing) -> dict[str, Any]:
            row = spawned.find(work, name)
            if row is None or (row.removed_at is None) is not is_there:
                noun = "spawned agent" if is_there else "tombstone of a spawned agent"
                raise NotFoundError(noun, name)
            spawned.change(work, name, removed_at=work.now if is_there else None)
            self._agents.take(work, self._agents.declared)
            if is_there:
                alerts.clear_alert(work, f"spawned:{name}")
            audit.add(work, actor=operator.name, via=via, verb=verb, subject=f"agent:{name}")
            work.wake(LIFECYCLE)
            return {"agent": name, "did": verb, "seq": work.seq}

        done = await self._store.write(job)
        if not is_there:
            await self._let_in(name)
        return done

    async def _let_in(self, name: str) -> bool:
        """Open the socket of an agent that is there; whether it could be, otherwise with an alert.

        Its box may be made only now.
        """
        fault = ""
        try:
            await self.let_in(name)
        except Exception as error:  # noqa: BLE001 - the agent is there, whatever this was
            _log.exception("the socket of %s could not be opened", name)
            fault = f"{name} cannot reach the hive: its socket could not be opened ({error}). "

        def job(work: Writing) -> None:
            alerts.clear_alert(work, socket_key(name))
            if fault:
                text = fault + "Restart the hive's server, which opens it anew."
                alerts.raise_alert(work, socket_key(name), text, severity="error", agent=name)
            work.wake(LIFECYCLE)

        await self._store.write(job)
        return not fault

    async def _hello(self, name: str) -> bool:
        with self._store.bus.watch() as watch:
            waited = 0.0
            while self._agents.state_of(name) not in CONNECTED and waited < HELLO_SECONDS:
                if not await watch.wait(1.0):
                    waited += 1.0
        return self._agents.state_of(name) in CONNECTED


def _require_unasked(asking: Asking, name: str) -> None:
    """Refuse a name for which a request is open already."""
    for row in approval_rows.open_of(asking, None):
        is_spawn = row.kind == ApprovalKind.SPAWN.value
        if is_spawn and approval_rows.approved(row).payload["name"] == name:
            raise ConflictError(
                f"Approval {row.id} asks for an agent {name} already.",
                "Wait for what becomes of it, or choose another name.",
            )


def socket_key(name: str) -> str:
    """Name the alert about an agent's socket that could not be opened."""
    return f"socket:{name}"


def seed(name: str, agent_json: str, runtime: RuntimeKind) -> dict[str, str]:
    """Give the files with which an agent's configuration begins.

    Only where its system is built has it an ``agent.nix``: elsewhere nothing would read it.
    """
    is_built = runtime is RuntimeKind.NIXOS_CONTAINER
    readme = _README.format(name=name, more=_README_NIX if is_built else "")
    files = {AGENT_JSON: agent_json, "README.md": readme}
    return files | ({AGENT_NIX: _AGENT_NIX.format(name=name)} if is_built else {})


def require_authority(agents: Agents, actor: Actor, what: str) -> None:
    """Let the manager and the operator through, and nobody else."""
    member = agents.roster.members.get(actor.name)
    if actor.is_agent and (member is None or member.role is not Role.MANAGER):
        raise ForbiddenError(
            f"Only the manager may {what}.", "Write to `manager` what is needed, and why."
        )
