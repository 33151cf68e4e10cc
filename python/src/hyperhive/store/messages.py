"""The life of messages in the store: each step changes rows and tells of it in one commit.

These are the hot paths, so they are Core statements, compiled once. Which step is allowed when
is decided by the domain; who may ask for it, by the services.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, literal_column, not_, select, update
from sqlalchemy.sql.elements import ColumnElement

from hyperhive import bus
from hyperhive.domain import messages as rules
from hyperhive.domain.actors import OPERATOR, SYSTEM, Actor
from hyperhive.domain.events import EventKind
from hyperhive.domain.messages import MessageState
from hyperhive.domain.turns import UNANSWERED, TurnOutcome
from hyperhive.store import engine, events, tables
from hyperhive.store.transaction import Asking, Row, Writing

_REQUEUED: Final = EventKind.MESSAGE_REQUEUED
_m = tables.message.c


def _is(state: MessageState) -> ColumnElement[bool]:
    """Compare with a literal: a partial index serves no comparison with a bound value."""
    return _m.state == literal_column(f"'{state.value}'")


_NEW: Final[Mapping[str, Any]] = MappingProxyType(
    {"attempts": 0, "redelivered": False, "not_before": rules.AT_ONCE, "confirmed": False}
)
_INSERTION: Final = engine.Insertion(
    tables.message,
    *("sender", "recipient", "body", "at", "in_reply_to", "broadcast", "state", "settled_at"),
    *_NEW,
)
_DUE: Final = not_(_m.not_before > bindparam("now")) | (
    _m.not_before > bindparam("now") + rules.REDELIVERY_SECONDS[-1]
)
"""`rules.is_due`, in SQL."""
_IN_INBOX: Final = (_m.recipient == bindparam("agent"), _is(MessageState.QUEUED))
_DELIVERABLE: Final = engine.prepared(
    select(tables.message).where(*_IN_INBOX, _DUE).order_by(_m.id).limit(bindparam("limit"))
)
_ANYTHING_DELIVERABLE: Final = engine.prepared(select(_m.id).where(*_IN_INBOX, _DUE).limit(1))
_LEASE: Final = engine.prepared(
    update(tables.message)
    .where(_m.id == bindparam("message"))
    .values(
        state=MessageState.LEASED.value,
        turn=bindparam("to_turn"),
        delivery=bindparam("by_delivery"),
        confirmed=False,
        leased_at=bindparam("now"),
        lease_until=bindparam("until"),
    )
)
_NEXT_DUE: Final = engine.prepared(select(func.min(_m.not_before)).where(*_IN_INBOX, not_(_DUE)))
_WAITING: Final = engine.prepared(
    select(func.count()).select_from(
        select(_m.id).where(*_IN_INBOX, _DUE).limit(rules.WAITING_COUNTED_MAX).subquery()
    )
)
_OF_DELIVERY: Final = (
    _m.recipient == bindparam("agent"),
    _is(MessageState.LEASED),
    _m.delivery == bindparam("named"),
)
_CONFIRM: Final = engine.prepared(
    update(tables.message).where(*_OF_DELIVERY).values(confirmed=True)
)
_DELIVERED: Final = engine.prepared(select(tables.message).where(*_OF_DELIVERY).order_by(_m.id))
_OF_TURN: Final = (_m.turn == bindparam("of_turn"), _is(MessageState.LEASED))
_CONFIRM_TURN: Final = engine.prepared(
    update(tables.message).where(*_OF_TURN).values(confirmed=True)
)
_HELD: Final = engine.prepared(select(tables.message).where(*_OF_TURN).order_by(_m.id))
_FIND: Final = engine.prepared(select(tables.message).where(_m.id == bindparam("number")))
_END_LEASE: Final = {
    "turn": None,
    "delivery": None,
    "confirmed": False,
    "leased_at": None,
    "lease_until": None,
}
_ACK: Final = engine.prepared(
    update(tables.message)
    .where(_m.id == bindparam("message"))
    .values(state=MessageState.ACKED.value, settled_at=bindparam("now"), **_END_LEASE)
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that the rules have passed, on its way into one inbox."""

    sender: Actor
    recipient: str
    body: str
    in_reply_to: int | None = None
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Who leases: a turn, or (``turn`` is ``None``) a client by hand until ``until``.

    ``delivery`` names the request that the messages answer, so that its retry finds them again.
    """

    turn: int | None = None
    delivery: str | None = None
    until: float | None = None


def add(work: Writing, draft: Draft) -> int:
    """Put a message into an inbox and return its id.

    The operator's need no lease: they are delivered when they are committed.
    """
    to_operator = draft.recipient == OPERATOR
    row: dict[str, Any] = {
        "sender": draft.sender.name,
        "recipient": draft.recipient,
        "body": draft.body,
        "at": work.now,
        "in_reply_to": draft.in_reply_to,
        "broadcast": draft.broadcast,
        "state": (MessageState.ACKED if to_operator else MessageState.QUEUED).value,
        "settled_at": work.now if to_operator else None,
        **_NEW,
    }
    number = _INSERTION.add(work.connection, row)
    summary = {
        "id": number,
        "from": draft.sender.name,
        "to": draft.recipient,
        "at": work.now,
        "in_reply_to": draft.in_reply_to,
        "broadcast": draft.broadcast,
        "state": row["state"],
        "attempts": 0,
        "redelivered": False,
        "not_before": None,
        "reason": None,
        "preview": rules.preview(draft.body),
        "size": len(draft.body.encode()),
        "read_at": None,
    }
    work.record(
        EventKind.MESSAGE_QUEUED,
        draft.sender,
        {"message": summary},
        agent=draft.recipient,
        subject=number,
    )
    work.wake(bus.inbox(draft.recipient))
    return number


def lease(work: Writing, agent: str, count: int, holder: Holder) -> list[dict[str, Any]]:
    """Lease the oldest deliverable messages of an inbox, at most ``count``, as their receiver sees.

    Whoever repeats a request looks at `of_delivery` first.
    """
    rows = work.execute(_DELIVERABLE, {"agent": agent, "now": work.now, "limit": count}).all()
    for row in rows:
        work.execute(
            _LEASE,
            {
                "message": row.id,
                "to_turn": holder.turn,
                "by_delivery": holder.delivery,
                "now": work.now,
                "until": holder.until,
            },
        )
        work.record(
            EventKind.MESSAGE_LEASED,
            agent,
            {"id": row.id, "from": row.sender, "to": agent, "turn": holder.turn},
            agent=agent,
            subject=row.id,
        )
    return [received(row) for row in rows]


def has_deliverable(asking: Asking, agent: str) -> bool:
    """Whether an inbox holds something that may be delivered now."""
    found = asking.execute(_ANYTHING_DELIVERABLE, {"agent": agent, "now": asking.now})
    return found.first() is not None


def next_due(asking: Asking, agent: str) -> float | None:
    """When the next message that is held back may be delivered; ``None`` when none is.

    Its cost grows with the inbox: ask it of one in which nothing is deliverable.
    """
    found = asking.execute(_NEXT_DUE, {"agent": agent, "now": asking.now}).scalar()
    return float(found) if found is not None else None


def waiting(asking: Asking, agent: str) -> int:
    """Count what is deliverable now, up to `rules.WAITING_COUNTED_MAX`."""
    return int(asking.execute(_WAITING, {"agent": agent, "now": asking.now}).scalar() or 0)


def confirm(work: Writing, agent: str, delivery: str) -> int:
    """Note that a delivery was seen to reach its client; return how many messages it held."""
    done = work.execute(_CONFIRM, {"agent": agent, "named": delivery})
    return int(done.rowcount)


def confirm_turn(work: Writing, turn: int) -> None:
    """Note that the harness has the messages which the turn began with."""
    work.execute(_CONFIRM_TURN, {"of_turn": turn})


def of_turn(asking: Asking, turn: int) -> Sequence[Row]:
    """Give the rows that a turn has leased, oldest first."""
    return asking.execute(_HELD, {"of_turn": turn}).all()


def of_delivery(asking: Asking, agent: str, delivery: str) -> Sequence[Row]:
    """Give the rows that one request has leased, oldest first."""
    return asking.execute(_DELIVERED, {"agent": agent, "named": delivery}).all()


def overdue(asking: Asking) -> Sequence[Row]:
    """Give the rows leased by hand whose time is up."""
    until, now = _m.lease_until, asking.now
    # A time further off than any lease was written before the clock was set back.
    is_up = until.is_(None) | (until <= now) | (until > now + rules.HAND_LEASE_SECONDS)
    return asking.execute(
        select(tables.message)
        .where(_is(MessageState.LEASED), _m.turn.is_(None), is_up)
        .order_by(_m.id)
    ).all()


def ack(work: Writing, rows: Iterable[Row], actor: Actor | str) -> None:
    """Settle leased messages as handled."""
    for row in rows:
        work.execute(_ACK, {"message": row.id, "now": work.now})
        work.record(
            EventKind.MESSAGE_ACKED,
            actor,
            {"id": row.id, "from": row.sender, "to": row.recipient},
            agent=row.recipient,
            subject=row.id,
        )


def release(
    work: Writing, rows: Iterable[Row], outcome: TurnOutcome, *, seen: bool = True
) -> list[int]:
    """End leases without an ack, and return the ids of those that died of it.

    ``seen`` is ``False`` only when it is certain that no client got to see the messages: then
    they come again unflagged.
    """
    died = []
    for row in rows:
        unanswered = _unanswered(work, row.id) if outcome in UNANSWERED else 0
        fate = rules.fate_of_released(row.attempts, outcome, work.now, unanswered=unanswered)
        redelivered = bool(row.redelivered) or seen
        dead = fate.state is MessageState.DEAD
        work.execute(
            update(tables.message)
            .where(_m.id == row.id)
            .values(
                state=fate.state.value,
                attempts=fate.attempts,
                not_before=row.not_before if dead else fate.not_before,
                reason=fate.reason,
                redelivered=redelivered,
                **_END_LEASE,
            )
        )
        told: dict[str, Any] = {
            "id": row.id,
            "from": row.sender,
            "to": row.recipient,
            "attempts": fate.attempts,
            "reason": fate.reason,
        }
        if dead:
            died.append(int(row.id))
            fresh = find(work, row.id)
            told["message"] = summary(fresh) if fresh is not None else None
        else:
            told |= {"redelivered": redelivered, "not_before": fate.not_before or None}
            told |= _beginning(row)
        kind = EventKind.MESSAGE_DEAD if dead else EventKind.MESSAGE_RELEASED
        work.record(kind, SYSTEM, told, agent=row.recipient, subject=row.id)
        work.wake(bus.inbox(row.recipient))
    return died


def _unanswered(asking: Asking, number: int) -> int:
    """Count the deliveries of a message that stayed unanswered since it was last requeued."""
    count = 0
    for event in events.of_message(asking, number, EventKind.MESSAGE_RELEASED, _REQUEUED):
        is_one = event.data.get("reason") in UNANSWERED
        count = 0 if event.kind == _REQUEUED else count + is_one
    return count


def requeue(work: Writing, row: Row, actor: Actor) -> int:
    """Give a dead message a new life; return the event's ``seq``."""
    work.execute(
        update(tables.message)
        .where(_m.id == row.id)
        .values(
            state=MessageState.QUEUED.value,
            attempts=0,
            redelivered=True,
            not_before=rules.AT_ONCE,
        )
    )
    work.wake(bus.inbox(row.recipient))
    return _record_by_hand(work, EventKind.MESSAGE_REQUEUED, row, actor, **_beginning(row))


def drop(work: Writing, row: Row, actor: Actor) -> int:
    """Settle a dead message as not to be handled; return the event's ``seq``."""
    work.execute(
        update(tables.message)
        .where(_m.id == row.id)
        .values(state=MessageState.DROPPED.value, settled_at=work.now)
    )
    return _record_by_hand(work, EventKind.MESSAGE_DROPPED, row, actor)


def withdraw(work: Writing, row: Row, actor: Actor) -> int:
    """Take back a message that nobody has seen; return the event's ``seq``."""
    reason = f"{rules.WITHDRAWN}{actor.name}"
    work.execute(
        update(tables.message)
        .where(_m.id == row.id)
        .values(state=MessageState.DROPPED.value, settled_at=work.now, reason=reason)
    )
    told = {"id": row.id, "from": row.sender, "to": row.recipient, "reason": reason}
    return work.record(
        EventKind.MESSAGE_WITHDRAWN, actor, told, agent=row.recipient, subject=row.id
    )


def drop_unsettled(work: Writing, agent: str, actor: Actor, limit: int) -> list[Row]:
    """Drop the oldest messages that an inbox still holds, at most ``limit``, and return them."""
    found: list[Row] = []
    for state in (MessageState.QUEUED, MessageState.LEASED, MessageState.DEAD):
        wanted = select(tables.message).where(_m.recipient == agent, _is(state)).order_by(_m.id)
        found += work.execute(wanted.limit(limit - len(found))).all()
    for row in found:
        work.execute(
            update(tables.message)
            .where(_m.id == row.id)
            .values(state=MessageState.DROPPED.value, settled_at=work.now, **_END_LEASE)
        )
        _record_by_hand(work, EventKind.MESSAGE_DROPPED, row, actor)
    return found


def mark_read(work: Writing, row: Row, actor: Actor) -> int:
    """Note that the operator has opened a message; return the event's ``seq``."""
    work.execute(update(tables.message).where(_m.id == row.id).values(read_at=work.now))
    return _record_by_hand(work, EventKind.MESSAGE_READ, row, actor)


def _beginning(row: Row) -> dict[str, Any]:
    """What else to tell of one that is queued again: whoever forgot it has it back in sight."""
    return {"at": row.at, "preview": rules.preview(row.body)}


def _record_by_hand(work: Writing, kind: EventKind, row: Row, actor: Actor, **more: Any) -> int:
    told = {"id": row.id, "from": row.sender, "to": row.recipient, **more}
    return work.record(kind, actor, told, agent=row.recipient, subject=row.id)


def find(asking: Asking, number: int) -> Row | None:
    """Give the row of one message."""
    return asking.execute(_FIND, {"number": number}).first()


def search(
    asking: Asking,
    *,
    before: int | None,
    limit: int,
    agent: str | None = None,
    state: MessageState | None = None,
) -> Sequence[Row]:
    """Page backwards through messages: those to or from ``agent``, those in ``state``."""
    wanted: list[ColumnElement[bool]] = []
    if before is not None:
        wanted.append(_m.id < before)
    if state is not None:
        wanted.append(_is(state))
    if agent is None:
        return asking.execute(_newest(*wanted).limit(limit)).all()
    # One question for each index: asked as one, all that the agent ever had would be sorted.
    to_it = asking.execute(_newest(_m.recipient == agent, *wanted).limit(limit)).all()
    by_it = asking.execute(_newest(_m.sender == agent, *wanted).limit(limit)).all()
    found = {row.id: row for row in (*to_it, *by_it)}
    return [found[number] for number in sorted(found, reverse=True)[:limit]]


def _newest(*wanted: ColumnElement[bool]) -> Select[Any]:
    return select(tables.message).where(*wanted).order_by(_m.id.desc())


def hanging(asking: Asking, senders: Sequence[str], limit: int) -> list[Row]:
    """Give the oldest messages of these senders that nobody has taken up or that are dead.

    It reads what is queued rather than all that a sender ever sent: the plus keeps its index out.
    """
    sender: ColumnElement[str] = literal_column("+message.sender")
    found: list[Row] = []
    for state in (MessageState.DEAD, MessageState.QUEUED):
        wanted = select(tables.message).where(_is(state), sender.in_(senders)).order_by(_m.id)
        found += asking.execute(wanted.limit(limit)).all()
    return sorted(found, key=lambda row: int(row.id))[:limit]


def inbox_counts(asking: Asking) -> dict[str, dict[str, int]]:
    """Count, for each inbox, what is queued, leased and dead."""
    counts: dict[str, dict[str, int]] = {}
    for state in (MessageState.QUEUED, MessageState.LEASED, MessageState.DEAD):
        statement = (
            select(_m.recipient, func.count().label("number"))
            .where(_is(state))
            .group_by(_m.recipient)
        )
        for row in asking.execute(statement):
            counts.setdefault(row.recipient, {})[state.value] = row.number
    return counts


def unread_by_operator(asking: Asking) -> int:
    """Count the operator's messages that nobody has opened."""
    statement = select(func.count()).where(
        _m.recipient == literal_column(f"'{OPERATOR}'"), _m.read_at.is_(None)
    )
    return int(asking.execute(statement).scalar() or 0)


def received(row: Row) -> dict[str, Any]:
    """Show a leased message to its receiver."""
    return {
        "id": row.id,
        "from": row.sender,
        "to": row.recipient,
        "at": row.at,
        "body": row.body,
        "in_reply_to": row.in_reply_to,
        "broadcast": bool(row.broadcast),
        "attempt": row.attempts + 1,
        "redelivered": bool(row.redelivered),
        "hint": rules.hint(broadcast=bool(row.broadcast), redelivered=bool(row.redelivered)),
    }


def summary(row: Row) -> dict[str, Any]:
    """Show a message as lists do: all of it but the whole body."""
    return {
        "id": row.id,
        "from": row.sender,
        "to": row.recipient,
        "at": row.at,
        "in_reply_to": row.in_reply_to,
        "broadcast": bool(row.broadcast),
        "state": row.state,
        "attempts": row.attempts,
        "redelivered": bool(row.redelivered),
        "not_before": row.not_before or None,
        "reason": row.reason,
        "preview": rules.preview(row.body),
        "size": len(row.body.encode()),
        "read_at": row.read_at,
    }
