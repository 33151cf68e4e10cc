"""What is recorded of the forge: accounts and organisations that the hive keeps, pull requests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import insert, select, update

from hyperhive.domain.actors import SYSTEM, Actor
from hyperhive.domain.events import EventKind
from hyperhive.domain.forge import Pull, PullState
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

ACCOUNT: Final = "account"
ORGANISATION: Final = "organisation"

_k = tables.forge_kept.c
_p = tables.pull_request.c


def kept(asking: Asking, kind: str) -> frozenset[str]:
    """Give the names of the accounts or organisations that the hive has kept so far."""
    return frozenset(asking.execute(select(_k.name).where(_k.kind == kind)).scalars())


def keep(work: Writing, kind: str, names: Iterable[str]) -> None:
    """Record that the hive keeps these, too."""
    known = kept(work, kind)
    for name in sorted(set(names) - known):
        work.execute(insert(tables.forge_kept), {"kind": kind, "name": name, "at": work.now})


def find_pull(asking: Asking, repository: str, number: int) -> Row | None:
    """Give what was last told of a pull request, if anything was."""
    chosen = select(tables.pull_request).where(_p.repository == repository, _p.number == number)
    return asking.execute(chosen).first()


def pull_of_id(asking: Asking, number: int) -> Row | None:
    """Give a pull request by the number that the hive gave it."""
    return asking.execute(select(tables.pull_request).where(_p.id == number)).first()


def open_pulls(asking: Asking, repository: str | None = None) -> Sequence[Row]:
    """Give the open pull requests, oldest first, of one repository or of all."""
    chosen = select(tables.pull_request).where(_p.state == PullState.OPEN.value)
    if repository is not None:
        chosen = chosen.where(_p.repository == repository)
    return asking.execute(chosen.order_by(_p.id)).all()


def closed_pulls(asking: Asking, limit: int) -> Sequence[Row]:
    """Give those that were closed or merged last, oldest first."""
    chosen = select(tables.pull_request).where(_p.state != PullState.OPEN.value)
    found = asking.execute(chosen.order_by(_p.closed_at.desc(), _p.id.desc()).limit(limit)).all()
    return found[::-1]


def put_pull(
    work: Writing,
    pull: Pull,
    *,
    involved: Iterable[str],
    comments: int,
    reviews: int,
    actor: Actor | str = SYSTEM,
    silently: bool = False,
) -> None:
    """Record a pull request as it is now and tell of it, unless ``silently``."""
    repository = f"{pull.owner}/{pull.repository}"
    values: dict[str, Any] = {
        "title": pull.title,
        "author": pull.author,
        "state": pull.state.value,
        "head": pull.head,
        "base": pull.base,
        "url": pull.html_url,
        "reviewers_json": dumps(sorted(pull.requested_reviewers)),
        "involved_json": dumps(sorted(set(involved))),
        "merged_by": pull.merged_by,
        "at": pull.opened_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "comments": comments,
        "reviews": reviews,
    }
    row = find_pull(work, repository, pull.number)
    if row is None:
        place = {"repository": repository, "number": pull.number}
        work.execute(insert(tables.pull_request), {**place, **values})
    else:
        work.execute(update(tables.pull_request).where(_p.id == row.id).values(**values))
    fresh = find_pull(work, repository, pull.number)
    if fresh is not None and not silently:
        told = {"pull_request": shown_pull(fresh)}
        work.record(EventKind.PULL_REQUEST_CHANGED, actor, told)


def shown_pull(row: Row) -> dict[str, Any]:
    """Show a pull request as the operator's snapshot does."""
    return {
        "id": row.id,
        "repository": row.repository,
        "number": row.number,
        "title": row.title,
        "author": row.author,
        "state": row.state,
        "head": row.head,
        "base": row.base,
        "url": row.url,
        "reviewers": json.loads(row.reviewers_json),
        "merged_by": row.merged_by,
        "at": row.at,
        "updated_at": row.updated_at,
        "closed_at": row.closed_at,
        "comments": row.comments,
    }


def note_repositories(work: Writing, count: int) -> None:
    """Tell that the repositories are others, or were pushed to."""
    work.record(EventKind.FORGE_REPOSITORIES_CHANGED, SYSTEM, {"repositories": count})


def note_standing(work: Writing, standing: Mapping[str, Any]) -> None:
    """Tell how the forge stands now."""
    work.record(EventKind.FORGE_CHANGED, SYSTEM, {"forge": dict(standing)})
