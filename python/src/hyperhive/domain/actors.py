"""Who can act in a hive, and which names they may bear."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OPERATOR: Final = "operator"
MANAGER: Final = "manager"
EVERYONE: Final = "*"
SYSTEM: Final = "system"
REMINDER: Final = "reminder"
TTL_WATCHDOG: Final = "ttl-watchdog"
"""Who ends what nobody has answered in its time; too long for an agent's name."""

NAME_LENGTHS: Final = range(2, 12)
"""Characters in an agent's name: a container ``h-<name>`` and its interface must fit, too."""

_FORGE_NAMES: Final = """
    admin api assets attachments avatar avatars captcha commits debug devtest error
    explore favicon ghost issues login metrics milestones new notifications org pulls
    raw repo search ssh-info stars swagger template user
"""

RESERVED_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys((OPERATOR, MANAGER), "it is a recipient of its own"),
    **dict.fromkeys((SYSTEM, REMINDER), "it is a sender of its own"),
    **dict.fromkeys(_FORGE_NAMES.split(), "the forge reserves it"),
}
"""Names no agent may bear, each with the reason."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")


class Role(StrEnum):
    """What an agent is in its hive; exactly one is the manager."""

    MANAGER = "manager"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone who does something: an agent, the operator, or the hive itself.

    The surface that accepted the request decides which; no request carries it.
    """

    name: str
    is_agent: bool

    @property
    def is_operator(self) -> bool:
        """Whether this is the operator, who alone approves, destroys and answers for others."""
        return self.name == OPERATOR


THE_OPERATOR: Final = Actor(OPERATOR, is_agent=False)
THE_SYSTEM: Final = Actor(SYSTEM, is_agent=False)
THE_TTL_WATCHDOG: Final = Actor(TTL_WATCHDOG, is_agent=False)


def agent(name: str) -> Actor:
    """Name an agent as an actor."""
    return Actor(name, is_agent=True)


def name_fault(name: str) -> str | None:
    """Say in one sentence why ``name`` cannot be an agent's, or ``None`` when it can."""
    if len(name) not in NAME_LENGTHS:
        shortest, longest = NAME_LENGTHS.start, NAME_LENGTHS.stop - 1
        return f"A name has {shortest} to {longest} characters, not {len(name)}."
    if not _NAME.fullmatch(name):
        return "A name is lower-case letters, digits and hyphens, beginning with a letter."
    if name.endswith("-") or "--" in name:
        return "A name has no trailing and no double hyphen."
    if name in RESERVED_NAMES:
        return f"The name is reserved: {RESERVED_NAMES[name]}."
    return None
