"""One tool call: by whom, within which turn, and what it handed out."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from hyperhive.domain import actors
from hyperhive.domain.actors import Actor
from hyperhive.domain.messages import HAND_LEASE_SECONDS
from hyperhive.services.callers import Caller
from hyperhive.store.messages import Holder
from hyperhive.surfaces.bounds import given_key

SCOPE_KEY: Final = "hyperhive.call"
TURN_HEADER: Final = b"hyperhive-turn"
REQUEST_HEADER: Final = b"hyperhive-request"
DELIVERY_HEADER: Final = b"hyperhive-delivery"


@dataclass(slots=True)
class Call:
    """A request on an agent's socket.

    ``turn`` and ``request`` are what the bridge says of it: which turn it serves, and a number
    that is the same when it is sent again. Both concern only this agent's own messages.
    ``delivery`` names what this call hands out: the request, or a number of our own for a client
    that gave it none. ``delivers`` is set when there is something, which the client is to confirm;
    ``begun`` when the answer began while the client was there; ``cut_short`` when the hive stops
    and the client should ask the next one.
    """

    agent: str
    caller: Caller
    turn: int | None = None
    request: str | None = None
    delivery: str = field(default_factory=lambda: secrets.token_hex(16))
    delivers: bool = False
    begun: bool = False
    cut_short: bool = False

    def __post_init__(self) -> None:
        if self.request is not None:
            self.delivery = self.request

    @property
    def actor(self) -> Actor:
        """The agent, as the one who acts."""
        return actors.agent(self.agent)

    def key(self, given: str | None) -> str | None:
        """Choose the idempotency key: the agent's own, or the request's number."""
        if given is not None:
            return given_key(given)
        return f"request:{self.request}" if self.request is not None else None

    def holder(self, now: float) -> Holder:
        """Say who leases what this call receives."""
        until = None if self.turn is not None else now + HAND_LEASE_SECONDS
        return Holder(turn=self.turn, delivery=self.delivery, until=until)
