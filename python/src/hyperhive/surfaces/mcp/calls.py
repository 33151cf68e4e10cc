"""One tool call: by whom, within which turn, and what it handed out."""

from dataclasses import dataclass
from typing import Final

from hyperhive.domain import actors
from hyperhive.domain.actors import Actor
from hyperhive.domain.messages import HAND_LEASE_SECONDS
from hyperhive.services.callers import Caller
from hyperhive.store.messages import Holder

SCOPE_KEY: Final = "hyperhive.call"
TURN_HEADER: Final = b"hyperhive-turn"
REQUEST_HEADER: Final = b"hyperhive-request"
DELIVERY_HEADER: Final = b"hyperhive-delivery"


@dataclass(slots=True)
class Call:
    """A request on an agent's socket.

    ``turn`` and ``request`` are what the bridge says of it: which turn it serves, and a number
    that is the same when it is sent again. Both concern only this agent's own messages.
    ``delivery`` is set when messages were handed out that the client is to confirm, ``lost`` when
    the client had gone before its answer began.
    """

    agent: str
    caller: Caller
    turn: int | None = None
    request: str | None = None
    delivery: str | None = None
    lost: bool = False

    @property
    def actor(self) -> Actor:
        """The agent, as the one who acts."""
        return actors.agent(self.agent)

    def key(self, given: str | None) -> str | None:
        """Choose the idempotency key: the agent's own, or the request's number."""
        if given is not None:
            return f"key:{given}"
        return f"request:{self.request}" if self.request is not None else None

    def holder(self, now: float) -> Holder:
        """Say who leases what this call receives."""
        until = None if self.turn is not None else now + HAND_LEASE_SECONDS
        return Holder(turn=self.turn, delivery=self.request, until=until)
