"""Who is in the hive, and who may write to whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hyperhive.domain.actors import EVERYONE, MANAGER, OPERATOR, Actor, Role
from hyperhive.domain.errors import ForbiddenError, NotFoundError


@dataclass(frozen=True, slots=True)
class Member:
    """An agent as the rules see it; ``may_message`` is ``None`` when it may write to everyone."""

    name: str
    role: Role
    may_message: frozenset[str] | None = None

    def may_write_to(self, recipient: "Member | None") -> bool:
        """Whether a message to ``recipient`` (``None``: the operator) is allowed."""
        if self.may_message is None or EVERYONE in self.may_message:
            return True
        if recipient is None:
            return OPERATOR in self.may_message
        if recipient.role is Role.MANAGER and MANAGER in self.may_message:
            return True
        return recipient.name in self.may_message


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes: the inboxes, and who was left out of a broadcast."""

    to: str
    recipients: tuple[str, ...]
    broadcast: bool = False
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Roster:
    """All agents of the hive, by name."""

    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def manager(self) -> str | None:
        """The manager's name, or ``None`` in a hive that has no agents yet."""
        return next((m.name for m in self.members.values() if m.role is Role.MANAGER), None)

    def address(self, sender: Actor, to: str) -> Address:
        """Resolve a recipient as a sender wrote it.

        ``manager`` becomes the manager's name; ``*`` becomes everyone whom the sender may write
        to but the sender. Raises `NotFoundError` with the known names, or `ForbiddenError` that
        names the option which forbids it.
        """
        if to == EVERYONE:
            return self._broadcast(sender)
        name = self.manager if to == MANAGER else to
        if name == OPERATOR:
            self._allow(sender, None, OPERATOR)
            return Address(to, (OPERATOR,))
        recipient = self.members.get(name) if name else None
        if recipient is None:
            raise NotFoundError("recipient", to, {*self.members, OPERATOR, MANAGER, EVERYONE})
        self._allow(sender, recipient, recipient.name)
        return Address(to, (recipient.name,))

    def _broadcast(self, sender: Actor) -> Address:
        others = [m for m in self.members.values() if m.name != sender.name]
        writer = self._writer(sender)
        reached = tuple(m.name for m in others if writer is None or writer.may_write_to(m))
        left_out = tuple(m.name for m in others if m.name not in reached)
        return Address(EVERYONE, reached, broadcast=True, left_out=left_out)

    def _writer(self, sender: Actor) -> Member | None:
        """Give the agent that sends; ``None`` for the operator and the hive, who are not bound."""
        if not sender.is_agent:
            return None
        if sender.name not in self.members:
            raise NotFoundError("agent", sender.name, self.members)
        return self.members[sender.name]

    def _allow(self, sender: Actor, recipient: Member | None, name: str) -> None:
        writer = self._writer(sender)
        if writer is not None and not writer.may_write_to(recipient):
            allowed = ", ".join(sorted(writer.may_message or ())) or "nobody"
            raise ForbiddenError(
                f"{sender.name} may not message {name}: "
                f"agents.{sender.name}.mayMessage allows {allowed}.",
                "Ask the manager or the operator to pass it on, or to widen that option.",
            )
