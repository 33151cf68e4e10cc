"""What the life of messages should be, in the simplest words: no store, no waits, no writer.

`Model` is told what was asked of the hive and says what each message has to look like then. It
shares no code with the rules that it checks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

BACK_OFF = (0, 30, 120, 600)
ATTEMPTS = 5
HAND_SECONDS = 900
KEY_SECONDS = 24 * 3600
COUNTED = ("failed", "timed_out", "died")
UNANSWERED = ("unconfirmed", "expired")
UNANSWERED_FREE = 2
"""So many deliveries may stay unanswered before one of them counts."""


@dataclass(slots=True)
class Known:
    """A message as it should be."""

    id: int
    sender: str
    to: str
    body: str
    state: str = "queued"
    attempts: int = 0
    flagged: bool = False
    not_before: float = 0.0
    turn: int | None = None
    delivery: str | None = None
    until: float | None = None
    confirmed: bool = False
    withdrawn: bool = False
    unanswered: int = 0
    """How often nobody said what became of a delivery, since it was last requeued."""

    @property
    def is_leased(self) -> bool:
        return self.state == "leased"

    def columns(self) -> dict[str, Any]:
        """Give what the row has to say."""
        return {
            "id": self.id,
            "sender": self.sender,
            "recipient": self.to,
            "body": self.body,
            "state": self.state,
            "attempts": self.attempts,
            "redelivered": self.flagged,
            "not_before": self.not_before,
            "turn": self.turn,
            "delivery": self.delivery,
            "lease_until": self.until,
            "confirmed": self.confirmed,
        }


@dataclass(slots=True)
class KnownTurn:
    """A turn that is open."""

    id: int
    agent: str
    session: str
    begun: bool = False


@dataclass(slots=True)
class Model:
    """All messages that were ever accepted, and the turns that are open."""

    now: float
    messages: dict[int, Known] = field(default_factory=dict)
    turns: dict[str, KnownTurn] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[float, Any]] = field(default_factory=dict)

    def accept(self, sender: str, to: str, body: str) -> Known:
        """Take a message up under the next number."""
        known = Known(len(self.messages) + 1, sender, to, body)
        self.messages[known.id] = known
        return known

    def is_due(self, known: Known) -> bool:
        """Whether it may be delivered; no wait is longer than the longest, whatever the clock."""
        waits = known.not_before - self.now
        return known.state == "queued" and not 0 < waits <= BACK_OFF[-1]

    def deliverable(self, agent: str, count: int) -> list[Known]:
        """Give what an inbox has to hand out next: the oldest that are due."""
        due = [
            known for known in self.messages.values() if known.to == agent and self.is_due(known)
        ]
        return due[:count]

    def leased(self, agent: str, **like: Any) -> list[Known]:
        """Give what is leased in an inbox and has these values, oldest first."""
        return [
            known
            for known in self.messages.values()
            if known.to == agent
            and known.is_leased
            and all(getattr(known, name) == value for name, value in like.items())
        ]

    def lease(
        self, taken: Iterable[Known], turn: int | None, delivery: str | None, until: float | None
    ) -> None:
        """Hand messages out."""
        for known in taken:
            known.state, known.turn, known.delivery, known.until = "leased", turn, delivery, until

    def ack(self, known: Known) -> None:
        """Settle a message."""
        known.state = "acked"
        _let_go(known)

    def release(self, held: Iterable[Known], reason: str, *, seen: bool = True) -> None:
        """Take messages back: for now, for later, or for good; a death is told to the sender."""
        died = []
        for known in held:
            _let_go(known)
            known.flagged = known.flagged or seen
            known.state = "queued"
            counts = reason in COUNTED
            if reason in UNANSWERED:
                counts = known.unanswered >= UNANSWERED_FREE
                known.unanswered += 1
            if not counts:
                known.not_before = 0.0
                continue
            known.attempts += 1
            if known.attempts == ATTEMPTS:
                known.state = "dead"
                died.append(known)
            else:
                wait = BACK_OFF[known.attempts - 1]
                known.not_before = self.now + wait if wait else 0.0
        for known in died:
            if known.sender not in ("operator", "system"):
                self.accept("system", known.sender, self.word(known, reason))

    def word(self, known: Known, reason: str) -> str:
        """Say what the sender of a dead message is told."""
        return (
            f"Message {known.id} from {known.sender} to {known.to} is dead: 5 attempts to handle "
            f"it failed, the last one {reason}. The operator can requeue or drop it."
        )

    def end_turn(self, agent: str, outcome: str, *, seen: bool = True) -> None:
        """End an agent's turn, if it has one."""
        turn = self.turns.pop(agent, None)
        if turn is None:
            return
        held = self.leased(agent, turn=turn.id)
        if outcome != "ok":
            self.release(held, outcome, seen=seen)
            return
        for known in held:
            if known.confirmed:
                self.ack(known)
        self.release([known for known in held if known.is_leased], "unconfirmed")

    def expire(self) -> None:
        """Take back what clients by hand have held for too long."""
        for agent in sorted({known.to for known in self.messages.values()}):
            held = [
                known
                for known in self.leased(agent, turn=None)
                if known.until is not None and not 0 < known.until - self.now <= HAND_SECONDS
            ]
            self.release(held, "expired")


def _let_go(known: Known) -> None:
    known.turn = known.delivery = known.until = None
    known.confirmed = False
