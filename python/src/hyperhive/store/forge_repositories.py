"""The embedded forge's repositories, their protected branches, and webhooks."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from hyperhive.store import forge_tables as tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps, number_of

NUMBER_MAX: Final = 2**53 - 1
"""Any reader of JSON keeps such a number as it is."""

_r, _p, _h = tables.repository.c, tables.protection.c, tables.hook.c


def find(asking: Asking, owner: int, name: str) -> Row | None:
    """Give the repository of a name."""
    which = (_r.owner == owner, _r.key == name.lower())
    return asking.execute(select(tables.repository).where(*which)).first()


def owned(asking: Asking, owner: int) -> Sequence[Row]:
    """Give the repositories of an account, by name."""
    return asking.execute(select(tables.repository).where(_r.owner == owner).order_by(_r.key)).all()


def count(asking: Asking, owner: int) -> int:
    """Say how many repositories an account owns."""
    counted = select(func.count()).select_from(tables.repository).where(_r.owner == owner)
    return int(asking.execute(counted).scalar_one())


def numbers(asking: Asking) -> frozenset[int]:
    """Give the numbers of all repositories."""
    return frozenset(asking.execute(select(_r.id)).scalars())


def add(work: Writing, owner: int, name: str, **values: Any) -> int:
    """Make a repository and give its number.

    It is drawn by lot, since it names a directory: counted up, a database restored from before
    would give the number of one repository to the next, and with it what lies there.
    """
    number = 1 + secrets.randbelow(NUMBER_MAX)
    row = {
        "id": number,
        "owner": owner,
        "key": name.lower(),
        "name": name,
        "created_at": work.now,
        **values,
    }
    return number_of(work.execute(insert(tables.repository), row))


def change(work: Writing, number: int, values: Mapping[str, Any]) -> None:
    """Change a repository."""
    if values:
        work.execute(update(tables.repository).where(_r.id == number).values(**values))


def remove(work: Writing, number: int) -> None:
    """Remove a repository with its protections and pull requests."""
    pulls = select(tables.pull.c.id).where(tables.pull.c.repository == number)
    work.execute(delete(tables.remark).where(tables.remark.c.pull.in_(pulls)))
    work.execute(delete(tables.pull).where(tables.pull.c.repository == number))
    work.execute(delete(tables.protection).where(_p.repository == number))
    work.execute(delete(tables.repository).where(_r.id == number))


def protections(asking: Asking, repository: int) -> Sequence[Row]:
    """Give the protected branches of a repository."""
    return asking.execute(
        select(tables.protection).where(_p.repository == repository).order_by(_p.branch)
    ).all()


def protection(asking: Asking, repository: int, branch: str) -> Row | None:
    """Give what protects one branch."""
    which = (_p.repository == repository, _p.branch == branch)
    return asking.execute(select(tables.protection).where(*which)).first()


def protect(
    work: Writing,
    repository: int,
    branch: str,
    *,
    users: Sequence[str],
    teams: Sequence[str],
    approvals: int,
) -> None:
    """Protect a branch, in place of what protected it."""
    unprotect(work, repository, branch)
    row = {"repository": repository, "branch": branch, "approvals": approvals}
    lists = {"users_json": dumps(sorted(users)), "teams_json": dumps(sorted(teams))}
    work.execute(insert(tables.protection), {**row, **lists})


def unprotect(work: Writing, repository: int, branch: str) -> bool:
    """Protect a branch no longer; ``False`` when it was not."""
    which = (_p.repository == repository, _p.branch == branch)
    return work.execute(delete(tables.protection).where(*which)).rowcount > 0


def hooks(asking: Asking, org: int) -> Sequence[Row]:
    """Give the webhooks of an organisation."""
    return asking.execute(select(tables.hook).where(_h.org == org).order_by(_h.id)).all()


def hook(asking: Asking, org: int, number: int) -> Row | None:
    """Give one webhook of an organisation."""
    return asking.execute(select(tables.hook).where(_h.org == org, _h.id == number)).first()


def add_hook(
    work: Writing, org: int, *, url: str, secret: str, events: Sequence[str], active: bool
) -> int:
    """Add a webhook and give its number."""
    row = {"org": org, "url": url, "secret": secret, "active": active}
    done = work.execute(insert(tables.hook), {**row, "events_json": dumps(sorted(events))})
    return number_of(done)


def change_hook(work: Writing, number: int, values: Mapping[str, Any]) -> None:
    """Change a webhook."""
    if values:
        work.execute(update(tables.hook).where(_h.id == number).values(**values))


def remove_hook(work: Writing, org: int, number: int) -> bool:
    """Remove a webhook; ``False`` when there is none."""
    return work.execute(delete(tables.hook).where(_h.org == org, _h.id == number)).rowcount > 0
