"""The embedded forge's users, organisations, teams and tokens; names are matched in lower case."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from hyperhive.domain.forge import OWNERS
from hyperhive.store import forge_tables as tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps, number_of

_a, _t, _m, _k = tables.account.c, tables.team.c, tables.member.c, tables.token.c


def find(asking: Asking, name: str, *, is_org: bool | None = None) -> Row | None:
    """Give the account of a name, of one kind or of either."""
    statement = select(tables.account).where(_a.key == name.lower())
    if is_org is not None:
        statement = statement.where(_a.is_org.is_(is_org))
    return asking.execute(statement).first()


def by_id(asking: Asking, number: int) -> Row | None:
    """Give the account of a number."""
    return asking.execute(select(tables.account).where(_a.id == number)).first()


def listed(asking: Asking, *, is_org: bool) -> Sequence[Row]:
    """Give all users, or all organisations, by name."""
    return asking.execute(
        select(tables.account).where(_a.is_org.is_(is_org)).order_by(_a.key)
    ).all()


def is_address_taken(asking: Asking, email: str) -> bool:
    """Say whether an account has that address of mail."""
    found = select(_a.id).where(func.lower(_a.email) == email.lower())
    return asking.execute(found).first() is not None


def add(work: Writing, name: str, *, is_org: bool, **values: Any) -> int:
    """Make an account and give its number."""
    row = {"key": name.lower(), "name": name, "is_org": is_org, "created_at": work.now, **values}
    full = {"full_name": "", "email": "", "description": "", "is_admin": False, "is_active": True}
    done = work.execute(insert(tables.account), {**full, **row})
    return number_of(done)


def change(work: Writing, number: int, values: Mapping[str, Any]) -> None:
    """Change an account."""
    if values:
        work.execute(update(tables.account).where(_a.id == number).values(**values))


def remove(work: Writing, number: int) -> None:
    """Remove an account with all that hangs on it but repositories, of which it has none."""
    teams = select(_t.id).where(_t.org == number)
    work.execute(delete(tables.member).where(_m.team.in_(teams)))
    work.execute(delete(tables.member).where(_m.account == number))
    work.execute(delete(tables.team).where(_t.org == number))
    work.execute(delete(tables.token).where(_k.account == number))
    work.execute(delete(tables.hook).where(tables.hook.c.org == number))
    work.execute(delete(tables.account).where(_a.id == number))


def owns(asking: Asking, number: int) -> bool:
    """Say whether an account has repositories, or is an organisation's only owner."""
    repositories = select(tables.repository.c.id).where(tables.repository.c.owner == number)
    if asking.execute(repositories).first() is not None:
        return True
    owned = select(_t.id).where(_t.key == OWNERS.lower(), _t.id.in_(_teams_of(number)))
    alone = select(_m.team).where(_m.team.in_(owned)).group_by(_m.team).having(func.count() == 1)
    return asking.execute(alone).first() is not None


def token_owner(asking: Asking, secret_hash: str) -> tuple[Row, Row] | None:
    """Give a token and the account that it speaks for."""
    token = asking.execute(select(tables.token).where(_k.hash == secret_hash)).first()
    owner = by_id(asking, token.account) if token is not None else None
    return None if token is None or owner is None else (token, owner)


def tokens(asking: Asking, account: int) -> Sequence[Row]:
    """Give the tokens of an account, oldest first."""
    return asking.execute(select(tables.token).where(_k.account == account).order_by(_k.id)).all()


def add_token(
    work: Writing, account: int, name: str, secret_hash: str, last: str, scopes: Iterable[str]
) -> int:
    """Keep a token."""
    row = {"account": account, "name": name, "hash": secret_hash, "last_eight": last}
    done = work.execute(insert(tables.token), {**row, "scopes_json": dumps(sorted(scopes))})
    return number_of(done)


def remove_token(work: Writing, account: int, name: str) -> bool:
    """Void a token by its name or number; ``False`` when there is none."""
    which = _k.id == int(name) if name.isdecimal() and len(name) < 18 else _k.name == name
    found = work.execute(delete(tables.token).where(_k.account == account, which))
    return found.rowcount > 0


def teams(asking: Asking, org: int) -> Sequence[Row]:
    """Give the teams of an organisation."""
    return asking.execute(select(tables.team).where(_t.org == org).order_by(_t.id)).all()


def team(asking: Asking, number: int) -> Row | None:
    """Give one team."""
    return asking.execute(select(tables.team).where(_t.id == number)).first()


def add_team(work: Writing, org: int, name: str, **values: Any) -> int:
    """Make a team and give its number."""
    row = {"org": org, "key": name.lower(), "name": name, "description": "", **values}
    return number_of(work.execute(insert(tables.team), row))


def change_team(work: Writing, number: int, values: Mapping[str, Any]) -> None:
    """Change a team."""
    if values:
        work.execute(update(tables.team).where(_t.id == number).values(**values))


def remove_team(work: Writing, number: int) -> None:
    """Remove a team."""
    work.execute(delete(tables.member).where(_m.team == number))
    work.execute(delete(tables.team).where(_t.id == number))


def members(asking: Asking, team: int) -> Sequence[Row]:
    """Give the accounts in a team, by name."""
    joined = select(tables.account).join(tables.member, _m.account == _a.id)
    return asking.execute(joined.where(_m.team == team).order_by(_a.key)).all()


def is_member(asking: Asking, team: int, account: int) -> bool:
    """Say whether an account is in a team."""
    found = select(_m.team).where(_m.team == team, _m.account == account)
    return asking.execute(found).first() is not None


def add_member(work: Writing, team: int, account: int) -> None:
    """Put an account into a team, if it is not in it."""
    if not is_member(work, team, account):
        work.execute(insert(tables.member), {"team": team, "account": account})


def remove_member(work: Writing, team: int, account: int) -> None:
    """Take an account out of a team."""
    work.execute(delete(tables.member).where(_m.team == team, _m.account == account))


def teams_with(asking: Asking, org: int, account: int) -> Sequence[Row]:
    """Give the teams of an organisation that an account is in."""
    return asking.execute(
        select(tables.team).where(_t.org == org, _t.id.in_(_teams_of(account)))
    ).all()


def orgs_of(asking: Asking, account: int) -> Sequence[Row]:
    """Give the organisations that an account is in, by name."""
    orgs = select(_t.org).where(_t.id.in_(_teams_of(account)))
    return asking.execute(select(tables.account).where(_a.id.in_(orgs)).order_by(_a.key)).all()


def _teams_of(account: int) -> Any:
    return select(_m.team).where(_m.account == account)
