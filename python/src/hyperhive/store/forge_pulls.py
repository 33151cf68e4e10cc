"""The embedded forge's pull requests, with what was said of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from hyperhive.domain.forge import PullState, Verdict
from hyperhive.store import forge_tables as tables
from hyperhive.store.transaction import Asking, Row, Writing, number_of

_p, _r = tables.pull.c, tables.remark.c


def find(asking: Asking, repository: int, number: int) -> Row | None:
    """Give one pull request."""
    which = (_p.repository == repository, _p.number == number)
    return asking.execute(select(tables.pull).where(*which)).first()


def listed(asking: Asking, repository: int, state: str) -> Sequence[Row]:
    """Give the pull requests that are ``open``, ``closed`` or either (``all``), newest first."""
    statement = select(tables.pull).where(_p.repository == repository)
    if state == "open":
        statement = statement.where(_p.state == PullState.OPEN.value)
    elif state == "closed":
        statement = statement.where(_p.state != PullState.OPEN.value)
    return asking.execute(statement.order_by(_p.number.desc())).all()


def open_from(asking: Asking, repository: int, branch: str) -> Sequence[Row]:
    """Give the open pull requests whose head a branch is."""
    which = (_p.repository == repository, _p.state == PullState.OPEN.value, _p.head == branch)
    return asking.execute(select(tables.pull).where(*which)).all()


def every_open(asking: Asking) -> Sequence[Row]:
    """Give the open pull requests of all repositories."""
    return asking.execute(select(tables.pull).where(_p.state == PullState.OPEN.value)).all()


def add(work: Writing, repository: int, **values: Any) -> int:
    """Open a pull request and give its number, which is one more than the last."""
    last = select(func.max(_p.number)).where(_p.repository == repository)
    number = int(work.execute(last).scalar() or 0) + 1
    row = {"repository": repository, "number": number, "state": PullState.OPEN.value}
    work.execute(insert(tables.pull), {**row, "at": work.now, "updated_at": work.now, **values})
    return number


def change(work: Writing, pull: int, values: Mapping[str, Any]) -> None:
    """Change a pull request; it counts as touched now."""
    work.execute(update(tables.pull).where(_p.id == pull).values(updated_at=work.now, **values))


def remarks(asking: Asking, pull: int, *, reviews: bool) -> Sequence[Row]:
    """Give the reviews of a pull request, owed ones included, or its comments; oldest first."""
    kind = _r.verdict.is_not(None) if reviews else _r.verdict.is_(None)
    return asking.execute(select(tables.remark).where(_r.pull == pull, kind).order_by(_r.id)).all()


def add_remark(work: Writing, pull: Row, author: str, verdict: str | None, body: str) -> int:
    """Add a comment (no verdict) or a review; a review settles the one that its author owed."""
    if verdict is not None:
        drop_request(work, pull.id, author)
    row = {"pull": pull.id, "author": author, "verdict": verdict, "body": body, "at": work.now}
    done = work.execute(insert(tables.remark), {**row, "commit": pull.head_commit})
    change(work, pull.id, {})
    return number_of(done)


def drop_request(work: Writing, pull: int, author: str) -> bool:
    """Owe a review no longer; ``False`` when none was owed."""
    which = (_r.pull == pull, _r.author == author, _r.verdict == Verdict.REQUESTED.value)
    return work.execute(delete(tables.remark).where(*which)).rowcount > 0


def remark(asking: Asking, number: int) -> Row | None:
    """Give one remark."""
    return asking.execute(select(tables.remark).where(_r.id == number)).first()
