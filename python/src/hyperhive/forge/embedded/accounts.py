"""The embedded forge's API of accounts: users, tokens, organisations, teams."""

import hmac
import json
import secrets
from typing import Any, Final

from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.forge import OWNERS, Scope
from hyperhive.forge.embedded import permissions, shapes
from hyperhive.forge.embedded.permissions import hashed
from hyperhive.forge.embedded.requests import Answer, Ask, number_of, paged
from hyperhive.store import Reading, Row, Store, Writing
from hyperhive.store import forge_accounts as rows
from hyperhive.store.transaction import Asking

PASSWORD_CHARS_MIN: Final = 24
_SCOPES: Final = frozenset(scope.value for scope in Scope)
_ACCESS: Final = frozenset({"read", "write", "admin"})
_RESERVED: Final = frozenset({"api", "user", "org", "repo", "admin", "login", "explore", "new"})


class Accounts:
    """Answers what is asked about accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def me(self, ask: Ask) -> Answer:
        """Show who asks."""
        return Answer(shapes.user(ask.who))

    async def users(self, ask: Ask) -> Answer:
        """List all users."""
        found = await self._store.read(lambda read: rows.listed(read, is_org=False))
        cut, headers = paged(ask, found)
        return Answer([shapes.user(row) for row in cut], headers=headers)

    async def user(self, ask: Ask, name: str) -> Answer:  # noqa: ARG002 - as every handler
        """Show a user."""
        return Answer(shapes.user(await self._store.read(lambda read: _user(read, name))))

    async def create_user(self, ask: Ask) -> Answer:
        """Make a user."""
        name, email = ask.name("username", most=40), ask.text("email")
        if "@" not in email:
            raise InvalidError("email is no address.")
        password = _password(ask)

        def job(work: Writing) -> Row:
            _require_free(work, name)
            if rows.is_address_taken(work, email):
                raise ConflictError("e-mail already in use", "Give another one.")
            number = rows.add(
                work,
                name,
                is_org=False,
                full_name=ask.text("full_name", most=100),
                email=email,
                password_hash=hashed(password),
            )
            return _known(rows.by_id(work, number))

        return Answer(shapes.user(await self._store.write(job)), 201)

    async def change_user(self, ask: Ask, name: str) -> Answer:
        """Change a user's password, standing or limits."""
        values: dict[str, Any] = {}
        if "password" in ask.given and ask.text("password"):
            values["password_hash"] = hashed(_password(ask))
        if "active" in ask.given:
            values["is_active"] = ask.flag("active")
        if "prohibit_login" in ask.given:
            values["is_active"] = not ask.flag("prohibit_login")
        if "admin" in ask.given:
            values["is_admin"] = ask.flag("admin")
        if "max_repo_creation" in ask.given:
            most = ask.whole("max_repo_creation")
            values["repositories_max"] = None if most is None or most < 0 else most
        for key in ("full_name", "email"):
            if key in ask.given:
                values[key] = ask.text(key)

        def job(work: Writing) -> Row:
            row = _user(work, name)
            rows.change(work, row.id, values)
            return _known(rows.by_id(work, row.id))

        return Answer(shapes.user(await self._store.write(job)))

    async def delete_user(self, ask: Ask, name: str) -> Answer:  # noqa: ARG002 - as every handler
        """Remove a user."""

        def job(work: Writing) -> None:
            row = _user(work, name)
            if rows.owns(work, row.id):
                raise InvalidError(f"{row.name} still owns repositories or organisations.")
            rows.remove(work, row.id)

        await self._store.write(job)
        return Answer(status=204)

    async def tokens(self, ask: Ask, name: str) -> Answer:
        """List somebody's tokens."""
        row = await self._own(ask, name)
        found = await self._store.read(lambda read: rows.tokens(read, row.id))
        cut, headers = paged(ask, found)
        return Answer([shapes.token(one) for one in cut], headers=headers)

    async def create_token(self, ask: Ask, name: str) -> Answer:
        """Make a token."""
        row, title, scopes = await self._own(ask, name), ask.text("name"), ask.texts("scopes")
        if not title:
            raise InvalidError("The token has no name.")
        if not scopes or not set(scopes) <= _SCOPES:
            raise InvalidError(f"The scopes are of: {', '.join(sorted(_SCOPES))}.")
        secret = new_secret()
        number = await self._store.write(
            lambda work: add_token(work, row.id, title, scopes, secret)
        )
        shown = {"id": number, "name": title, "sha1": secret, "token_last_eight": secret[-8:]}
        return Answer({**shown, "scopes": sorted(set(scopes))}, 201)

    async def delete_token(self, ask: Ask, name: str, token: str) -> Answer:
        """Void a token."""
        row = await self._own(ask, name)

        def job(work: Writing) -> None:
            if not rows.remove_token(work, row.id, token):
                raise NotFoundError("token", token)

        await self._store.write(job)
        return Answer(status=204)

    async def orgs(self, ask: Ask) -> Answer:
        """List all organisations."""
        found = await self._store.read(lambda read: rows.listed(read, is_org=True))
        cut, headers = paged(ask, found)
        return Answer([shapes.org(row) for row in cut], headers=headers)

    async def own_orgs(self, ask: Ask) -> Answer:
        """List the organisations that one is in."""
        found = await self._store.read(lambda read: rows.orgs_of(read, ask.who.id))
        cut, headers = paged(ask, found)
        return Answer([shapes.org(row) for row in cut], headers=headers)

    async def org(self, ask: Ask, name: str) -> Answer:
        """Show an organisation."""
        found = await self._store.read(lambda read: permissions.org(read, ask.who, name))
        return Answer(shapes.org(found))

    async def create_org(self, ask: Ask, owner: str | None = None) -> Answer:
        """Make an organisation, owned by whoever asks or is named."""
        if not ask.who.is_admin:
            raise ForbiddenError("Only an administrator makes organisations.")
        name = ask.name("username", most=40)

        def job(work: Writing) -> Row:
            first = _user(work, owner or ask.who.name)
            _require_free(work, name)
            number = rows.add(
                work,
                name,
                is_org=True,
                full_name=ask.text("full_name", most=100),
                description=ask.text("description"),
            )
            team = rows.add_team(work, number, OWNERS, access="owner", may_create=True)
            rows.add_member(work, team, first.id)
            return _known(rows.by_id(work, number))

        return Answer(shapes.org(await self._store.write(job)), 201)

    async def delete_org(self, ask: Ask, name: str) -> Answer:
        """Remove an organisation."""

        def job(work: Writing) -> None:
            row = permissions.org(work, ask.who, name, owner=True)
            if rows.owns(work, row.id):
                raise InvalidError(f"{row.name} still owns repositories.")
            rows.remove(work, row.id)

        await self._store.write(job)
        return Answer(status=204)

    async def teams(self, ask: Ask, name: str) -> Answer:
        """List an organisation's teams."""

        def job(read: Reading) -> tuple[Row, Any]:
            held = permissions.org(read, ask.who, name)
            return held, rows.teams(read, held.id)

        held, found = await self._store.read(job)
        cut, headers = paged(ask, found)
        return Answer([shapes.team(row, held) for row in cut], headers=headers)

    async def create_team(self, ask: Ask, name: str) -> Answer:
        """Make a team."""
        title = ask.name("name")
        values = _team_values(ask, {"access": "read", "may_create": False})

        def job(work: Writing) -> tuple[Row, Row]:
            held = permissions.org(work, ask.who, name, owner=True)
            if any(row.key == title.lower() for row in rows.teams(work, held.id)):
                raise InvalidError(f"team already exists: {title}")
            number = rows.add_team(work, held.id, title, **values)
            return _known(rows.team(work, number)), held

        return Answer(shapes.team(*await self._store.write(job)), 201)

    async def team(self, ask: Ask, number: str) -> Answer:
        """Show a team."""
        which = number_of("team", number)
        found = await self._store.read(
            lambda read: permissions.team(read, ask.who, which, owner=False)
        )
        return Answer(shapes.team(*found))

    async def change_team(self, ask: Ask, number: str) -> Answer:
        """Change a team."""
        which, values = number_of("team", number), _team_values(ask, {})
        if "name" in ask.given:
            values |= {"name": ask.name("name"), "key": ask.name("name").lower()}

        def job(work: Writing) -> tuple[Row, Row]:
            row, held = permissions.team(work, ask.who, which, owner=True)
            if permissions.is_owners(row):
                raise InvalidError(f"The team {OWNERS} stays as it is.")
            others = [one.key for one in rows.teams(work, held.id) if one.id != row.id]
            if values.get("key") in others:
                raise InvalidError("team already exists")
            rows.change_team(work, row.id, values)
            return _known(rows.team(work, row.id)), held

        return Answer(shapes.team(*await self._store.write(job)))

    async def delete_team(self, ask: Ask, number: str) -> Answer:
        """Remove a team."""
        which = number_of("team", number)

        def job(work: Writing) -> None:
            row, _ = permissions.team(work, ask.who, which, owner=True)
            if permissions.is_owners(row):
                raise InvalidError(f"The team {OWNERS} stays.")
            rows.remove_team(work, row.id)

        await self._store.write(job)
        return Answer(status=204)

    async def members(self, ask: Ask, number: str) -> Answer:
        """List a team's members."""
        which = number_of("team", number)

        def job(read: Reading) -> Any:
            row, _ = permissions.team(read, ask.who, which, owner=False)
            return rows.members(read, row.id)

        cut, headers = paged(ask, await self._store.read(job))
        return Answer([shapes.user(row) for row in cut], headers=headers)

    async def add_member(self, ask: Ask, number: str, name: str) -> Answer:
        """Put a user into a team."""
        which = number_of("team", number)

        def job(work: Writing) -> None:
            row, _ = permissions.team(work, ask.who, which, owner=True)
            rows.add_member(work, row.id, _user(work, name).id)

        await self._store.write(job)
        return Answer(status=204)

    async def remove_member(self, ask: Ask, number: str, name: str) -> Answer:
        """Take a user out of a team; the last owner stays."""
        which = number_of("team", number)

        def job(work: Writing) -> None:
            row, _ = permissions.team(work, ask.who, which, owner=True)
            user = _user(work, name)
            inside = [one.id for one in rows.members(work, row.id)]
            if permissions.is_owners(row) and inside == [user.id]:
                raise InvalidError(f"{user.name} is the last owner.")
            rows.remove_member(work, row.id, user.id)

        await self._store.write(job)
        return Answer(status=204)

    async def _own(self, ask: Ask, name: str) -> Row:
        """Find the account whose tokens these are: only its password opens them, no token does."""
        if not ask.by_password:
            raise ForbiddenError("Tokens are made with the account's password.")
        row = await self._store.read(lambda read: _user(read, name))
        if row.id != ask.who.id:
            raise ForbiddenError("These are another account's tokens.")
        return row


def new_secret() -> str:
    """Make what a token is known by."""
    return secrets.token_hex(20)


def add_token(work: Writing, account: int, name: str, scopes: list[str], secret: str) -> int:
    """Make a token of a secret, which is not kept, and give its number."""
    if any(row.name == name for row in rows.tokens(work, account)):
        raise InvalidError("access token name has been used already")
    return rows.add_token(work, account, name, hashed(secret), secret[-8:], set(scopes))


def log_in(
    asking: Asking, name: str | None, secret: str
) -> tuple[Row, frozenset[str], bool] | None:
    """Find whose token or password this is; also whether it was a password."""
    found = rows.token_owner(asking, hashed(secret)) if secret else None
    if found is not None:
        token, owner = found
        return (owner, frozenset(json.loads(token.scopes_json)), False) if owner.is_active else None
    user = rows.find(asking, name, is_org=False) if name else None
    if user is None or user.password_hash is None or not user.is_active:
        return None
    if not hmac.compare_digest(user.password_hash, hashed(secret)):
        return None
    return user, frozenset({Scope.ALL.value}), True


def _user(asking: Asking, name: str) -> Row:
    found = rows.find(asking, name, is_org=False)
    if found is None:
        raise NotFoundError("user", name)
    return found


def _known(row: Row | None) -> Row:
    assert row is not None
    return row


def _require_free(asking: Asking, name: str) -> None:
    if name.lower() in _RESERVED:
        raise InvalidError(f"name is reserved: {name}")
    if rows.find(asking, name) is not None:
        raise ConflictError(f"user already exists: {name}", "Choose another name.")


def _password(ask: Ask) -> str:
    password = ask.text("password")
    if len(password) < PASSWORD_CHARS_MIN:
        raise InvalidError(
            f"A password here is random and has at least {PASSWORD_CHARS_MIN} characters."
        )
    return password


def _team_values(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    if "permission" in ask.given:
        access = ask.text("permission")
        if access not in _ACCESS:
            raise InvalidError(f"permission is one of {', '.join(sorted(_ACCESS))}.")
        values["access"] = access
    if "can_create_org_repo" in ask.given:
        values["may_create"] = ask.flag("can_create_org_repo")
    if "description" in ask.given:
        values["description"] = ask.text("description")
    return values
