"""What a declaration may say that is read, checked and then not acted on, where it stands."""

from collections.abc import Iterator
from typing import Final

from hyperhive.config.agents import Agent, Network, RuntimeKind
from hyperhive.config.faults import key_path
from hyperhive.config.hive import ForgeKind, Hive
from hyperhive.config.shape import attribute
from hyperhive.config.values import Table

OF_THE_FORGE: Final = ("operator.forgeAccount", "forge.orgs", "forge.docs", "agents.*.forge")
"""Keys (``*`` is each agent) that do nothing in a hive without a forge."""


def unused(hive: Hive) -> list[str]:
    """One line of warning for each thing the declaration sets and that has no effect there."""
    lines = [
        f'{path} is set, but there is no forge: set forge.kind to "embedded" or "forgejo".'
        for pattern in OF_THE_FORGE
        for path in _set_at(hive, pattern.split("."), ())
        if hive.forge.kind is ForgeKind.NONE
    ]
    for agent in hive.agents.values():
        lines += _not_of_use(agent)
    return lines


def _set_at(table: Table, pattern: list[str], place: tuple[str, ...]) -> Iterator[str]:
    """Find where ``pattern`` leads to something that was written and is not empty."""
    key, *rest = pattern
    name = attribute(type(table), key)
    if name not in table.model_fields_set:
        return
    value = getattr(table, name)
    here = (*place, key)
    if not rest:
        is_empty = value in (None, (), {}) or (
            isinstance(value, Table) and not value.model_fields_set
        )
        if not is_empty:
            yield key_path(here)
    elif rest[0] == "*":
        for item, inner in value.items():
            yield from _set_at(inner, rest[1:], (*here, item))
    else:
        yield from _set_at(value, rest, here)


def _not_of_use(agent: Agent) -> Iterator[str]:
    place = ("agents", agent.name)
    if agent.network is Network.NONE and agent.runtime is not RuntimeKind.BUBBLEWRAP:
        yield (
            f"{key_path((*place, 'network'))}: the runtime {agent.runtime} does not look at it; "
            "use bubblewrap."
        )
    if agent.runtime is RuntimeKind.PROCESS:
        held = agent.limits
        limited = (held.memory, held.cpu, held.tasks) != (None, None, None)
        for key, is_set in (("binds", bool(agent.binds)), ("limits", limited)):
            if is_set:
                yield (
                    f"{key_path((*place, key))}: the runtime process neither mounts nor limits "
                    "anything; use bubblewrap."
                )
