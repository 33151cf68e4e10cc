"""Questions in the store: each step changes the row and tells of the whole of it in one commit."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, insert, literal_column, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from hyperhive import bus
from hyperhive.domain.actors import OPERATOR, Actor
from hyperhive.domain.events import EventKind
from hyperhive.domain.questions import CLOSED_SHOWN, Answer, QuestionState
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

_q = tables.question.c
_IS_OPEN = _q.state == literal_column(f"'{QuestionState.OPEN.value}'")


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that the rules have passed."""

    asker: Actor
    target: str
    question: str
    options: tuple[str, ...]
    multi: bool
    expires_at: float | None


def add(work: Writing, draft: Draft) -> dict[str, Any]:
    """Add an open question and give it as it is shown."""
    done = work.execute(
        insert(tables.question),
        {
            "asker": draft.asker.name,
            "target": draft.target,
            "question": draft.question,
            "options_json": dumps(draft.options),
            "multi": draft.multi,
            "state": QuestionState.OPEN.value,
            "at": work.now,
            "expires_at": draft.expires_at,
            "late": False,
        },
    )
    if draft.expires_at is not None:
        work.wake(bus.QUESTIONS)
    number = int(done.lastrowid)
    return _tell(work, EventKind.QUESTION_ADDED, number, draft.asker)


def answer(work: Writing, row: Row, given: Answer, actor: Actor, *, late: bool) -> dict[str, Any]:
    """Close a question with its answer."""
    values = {
        "state": QuestionState.ANSWERED.value,
        "answer": dumps(given),
        "answerer": actor.name,
        "answered_at": work.now,
        "late": late,
        "closed_at": work.now,
    }
    work.execute(update(tables.question).where(_q.id == row.id).values(**values))
    return _tell(work, EventKind.QUESTION_ANSWERED, row.id, actor)


def close(work: Writing, row: Row, state: QuestionState, actor: Actor | str) -> dict[str, Any]:
    """Close a question without an answer: it expired or was cancelled."""
    values = {"state": state.value, "closed_at": work.now}
    work.execute(update(tables.question).where(_q.id == row.id).values(**values))
    expired = state is QuestionState.EXPIRED
    kind = EventKind.QUESTION_EXPIRED if expired else EventKind.QUESTION_CANCELLED
    return _tell(work, kind, row.id, actor)


def find(asking: Asking, number: int) -> Row | None:
    """Give the row of one question."""
    return asking.execute(select(tables.question).where(_q.id == number)).first()


def count_open(asking: Asking, asker: str) -> int:
    """Count the open questions that an agent has asked."""
    wanted = select(func.count()).select_from(tables.question).where(_IS_OPEN, _q.asker == asker)
    return int(asking.execute(wanted).scalar() or 0)


def next_expiry(asking: Asking, asker: str | None = None) -> float | None:
    """Say when the next open question expires: of one asker, or (``None``) of all."""
    wanted = select(func.min(_q.expires_at)).where(_IS_OPEN, _q.expires_at.is_not(None))
    if asker is not None:
        wanted = wanted.where(_q.asker == asker)
    found = asking.execute(wanted).scalar()
    return float(found) if found is not None else None


def due(asking: Asking, limit: int) -> Sequence[Row]:
    """Give open questions whose time is over, the earliest first."""
    wanted = select(tables.question).where(_IS_OPEN, _q.expires_at <= asking.now)
    return asking.execute(wanted.order_by(_q.expires_at, _q.id).limit(limit)).all()


def of_gone(asking: Asking, limit: int) -> Sequence[Row]:
    """Give open questions that an agent asked or owes which is no longer there, oldest first."""
    present = select(tables.agent.c.name).where(tables.agent.c.present)
    is_owed = _q.target != OPERATOR
    is_gone = or_(_q.asker.not_in(present), is_owed & _q.target.not_in(present))
    wanted = select(tables.question).where(_IS_OPEN, is_gone)
    return asking.execute(wanted.order_by(_q.id).limit(limit)).all()


def still_open(asking: Asking, agent: str | None, limit: int | None = None) -> Sequence[Row]:
    """Give open questions, oldest first: those an agent asked or owes, or (``None``) all."""
    return asking.execute(_of(agent, _IS_OPEN).order_by(_q.id).limit(limit)).all()


def shown_now(asking: Asking, agent: str | None = None) -> list[dict[str, Any]]:
    """Show all that are open and those that were closed last, oldest first."""
    closed = _of(agent, _q.closed_at.is_not(None)).order_by(_q.closed_at.desc(), _q.id.desc())
    found = [*still_open(asking, agent), *asking.execute(closed.limit(CLOSED_SHOWN)).all()]
    return [shown(row) for row in sorted(found, key=lambda row: int(row.id))]


def shown(row: Row) -> dict[str, Any]:
    """Show a question whole."""
    return {
        "id": row.id,
        "asker": row.asker,
        "target": row.target,
        "question": row.question,
        "options": json.loads(row.options_json),
        "multi": bool(row.multi),
        "state": row.state,
        "at": row.at,
        "expires_at": row.expires_at,
        "answer": None if row.answer is None else json.loads(row.answer),
        "answerer": row.answerer,
        "answered_at": row.answered_at,
        "late": bool(row.late),
        "closed_at": row.closed_at,
    }


def _of(agent: str | None, *wanted: ColumnElement[bool]) -> Select[Any]:
    found = select(tables.question).where(*wanted)
    return found if agent is None else found.where(or_(_q.asker == agent, _q.target == agent))


def _tell(work: Writing, kind: EventKind, number: int, actor: Actor | str) -> dict[str, Any]:
    row = find(work, number)
    assert row is not None, "a question that was just written is there"
    told = shown(row)
    concerned = row.asker if row.target == OPERATOR else row.target
    work.record(kind, actor, {"question": told}, agent=concerned)
    return told
