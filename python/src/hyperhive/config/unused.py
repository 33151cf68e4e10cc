"""What a declaration may say that this version reads, checks and then does not act on."""

from collections.abc import Iterator, Mapping
from typing import Final

from hyperhive import __version__
from hyperhive.config.agents import Agent, RuntimeKind
from hyperhive.config.faults import key_path
from hyperhive.config.hive import Hive
from hyperhive.config.shape import attribute
from hyperhive.config.values import Table

NOT_YET_USED: Final[Mapping[str, str]] = {}
"""Keys (``*`` is each agent) that do nothing yet, each with what holds instead."""


def unused(hive: Hive) -> list[str]:
    """One line of warning for each thing the declaration sets and this version does not do."""
    lines = [
        f"{path} is set, but version {__version__} does not act on it yet: {instead}."
        for pattern, instead in NOT_YET_USED.items()
        for path in _set_at(hive, pattern.split("."), ())
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
    if agent.runtime is RuntimeKind.PROCESS:
        held = agent.limits
        limited = (held.memory, held.cpu, held.tasks) != (None, None, None)
        for key, is_set in (("binds", bool(agent.binds)), ("limits", limited)):
            if is_set:
                yield (
                    f"{key_path((*place, key))}: the runtime process neither mounts nor limits "
                    "anything; use bubblewrap."
                )
