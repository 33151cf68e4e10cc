"""Who is in the hive, what they do, and what the server thinks of it."""

from collections.abc import Mapping
from typing import Any

from hyperhive.config import Hive
from hyperhive.config.spawned import SpawnedAgent, with_spawned
from hyperhive.domain.actors import SYSTEM, Actor, Role
from hyperhive.domain.agents import AgentState
from hyperhive.domain.errors import InvalidError, NotFoundError
from hyperhive.domain.events import EventKind
from hyperhive.domain.roster import Member, Roster
from hyperhive.services import crashes
from hyperhive.store import Reading, Row, Store, Writing, alerts, spawned
from hyperhive.store import agents as rows

STATUS_CHARS_MAX = 200


class Agents:
    """The agents: as declared, and as last seen."""

    def __init__(self, store: Store, hive: Hive) -> None:
        self._store = store
        self._states: dict[str, AgentState] = {}
        self.declared = hive
        """The declaration alone; ``hive`` has the spawned agents, too."""
        self.hive = hive
        self.roster = roster_of(hive)
        self.revisions: Mapping[str, str] = {}
        """The commit that each spawned agent runs from, unless a declared one bears its name."""
        self._spawned: dict[str, SpawnedAgent] = {}

    def whole(self, declared: Hive) -> Hive:
        """Give a declaration with the agents that were spawned beside it."""
        return with_spawned(declared, self._spawned)

    def state_of(self, name: str) -> AgentState:
        """Say what an agent was last seen doing."""
        return self._states.get(name, AgentState.STOPPED)

    def is_manager(self, actor: Actor) -> bool:
        """Whether this is the agent that coordinates the others."""
        member = self.roster.members.get(actor.name)
        return actor.is_agent and member is not None and member.role is Role.MANAGER

    async def declare(self, hive: Hive) -> None:
        """Take a declaration as the present one; agents that come, change or go are told of."""
        await self._store.write(lambda work: self.take(work, hive))

    def take(self, work: Writing, declared: Hive) -> None:
        """Take a declaration and what is spawned as the present hive, in a caller's transaction."""
        standing = {row.name: row for row in spawned.standing(work)}
        settings = {
            name: SpawnedAgent.model_validate_json(row.settings_json)
            for name, row in standing.items()
        }
        hive = with_spawned(declared, settings)
        shapes = {name: _shape(hive, name, standing.get(name), declared) for name in hive.agents}
        for name, shape in shapes.items():
            rows.put(work, name, shape)
        for row in rows.all_present(work):
            if row.name not in shapes:
                rows.remove(work, row.name)
                alerts.clear_of_agent(work, row.name, but=alerts.OF_DEAD_MESSAGE)
        _tell_of_two(work, declared, standing)
        if declared.limits != self.declared.limits:
            told = {"limits": limits_of(declared)}
            work.record(EventKind.HIVE_CHANGED, SYSTEM, told)
        states = {row.name: AgentState(row.state) for row in rows.all_present(work)}
        revisions = {
            name: row.revision for name, row in standing.items() if name not in declared.agents
        }

        def remember() -> None:
            self.declared, self.hive, self.roster = declared, hive, roster_of(hive)
            self._spawned, self.revisions = settings, revisions
            self._states = states

        work.then(remember)

    def note_state(
        self, work: Writing, name: str, state: AgentState, reason: str | None = None
    ) -> None:
        """Record what an agent is doing, within a transaction of the caller's."""
        if rows.set_state(work, name, state, reason):
            crashes.tell(work, name, state)
            work.then(lambda: self._states.update({name: state}))

    async def set_state(self, name: str, state: AgentState, reason: str | None = None) -> None:
        """Record what an agent is doing."""
        await self._store.write(lambda work: self.note_state(work, name, state, reason))

    async def set_status(self, actor: Actor, status: str) -> dict[str, Any]:
        """Show a line of an agent's own beside its name; an empty one takes it away."""
        text = " ".join(status.split())
        if len(text) > STATUS_CHARS_MAX:
            raise InvalidError(
                f"The status has {len(text)} characters; the limit is {STATUS_CHARS_MAX}.",
                "Say it shorter; details belong in a message or a file.",
            )
        seq = await self._store.write(
            lambda work: rows.set_status(work, actor.name, text or None, actor)
        )
        return {"status": text or None, "seq": seq}

    async def listing(self, viewer: Actor) -> dict[str, Any]:
        """List the agents as an agent sees them, with whether it may write to each."""
        found = await self._store.read(lambda asking: rows.all_present(asking))
        writer = self.roster.members.get(viewer.name)
        listed = []
        for row in found:
            member = self.roster.members.get(row.name)
            shown = rows.shown(row)
            listed.append(
                {
                    **{key: shown[key] for key in ("name", "role", "description", "state")},
                    "status": row.status,
                    "you": row.name == viewer.name,
                    "may_message": writer is None
                    or member is None
                    or (member.name != viewer.name and writer.may_write_to(member)),
                }
            )
        return {"agents": listed}

    async def whoami(self, viewer: Actor) -> dict[str, Any]:
        """Tell an agent who it is."""
        member = self.roster.members.get(viewer.name)
        if member is None:
            raise NotFoundError("agent", viewer.name, self.roster.members)
        row = await self._store.read(lambda asking: _row(asking, viewer.name))
        allowed = None if member.may_message is None else sorted(member.may_message)
        return {
            "name": member.name,
            "role": member.role.value,
            "hive": self.hive.name,
            "manager": self.roster.manager,
            "description": row["description"],
            "state": row["state"],
            "status": row["status"],
            "may_message": allowed if allowed is not None else "everyone",
        }


def limits_of(hive: Hive) -> dict[str, Any]:
    """Say what a hive may spend and how large it may grow, as the operator sees it."""
    limits = hive.limits
    return {"agents": limits.agents, "spend_per_day_usd": limits.spend_per_day_usd}


def _row(asking: Reading, name: str) -> dict[str, Any]:
    row = rows.find(asking, name)
    if row is None:
        raise NotFoundError("agent", name)
    return rows.shown(row)


def roster_of(hive: Hive) -> Roster:
    """Give the rules' view of a declaration; an agent that is not enabled can be written to."""
    return Roster(
        {
            name: Member(
                name,
                Role(agent.role),
                None if agent.may_message is None else frozenset(agent.may_message),
            )
            for name, agent in hive.agents.items()
        }
    )


def _shape(hive: Hive, name: str, row: Row | None, declared: Hive) -> Mapping[str, Any]:
    agent = hive.agents[name]
    shape = {
        "role": str(agent.role),
        "description": agent.description,
        "driver": str(agent.driver.kind),
        "runtime": str(agent.runtime),
        "model": agent.driver.model,
    }
    return shape if row is None or name in declared.agents else {**shape, "spawned": told(row)}


def told(row: Row) -> dict[str, Any]:
    """Show how a spawned agent came to be."""
    return {
        "by": row.requester,
        "at": row.at,
        "approval": row.approval,
        "revision": row.revision,
    }


def _tell_of_two(work: Writing, declared: Hive, standing: Mapping[str, Row]) -> None:
    for name in standing:
        key = f"spawned:{name}"
        if name in declared.agents:
            said = (
                f"{name} is declared, and was spawned before. What is declared holds; its spawned "
                f"configuration waits. Remove agents.{name} from the declaration, or destroy it."
            )
            if alerts.text_of(work, key) != said:
                alerts.raise_alert(work, key, said, agent=name)
        else:
            alerts.clear_alert(work, key)
