"""Looks at a forge, as far as it concerns the hive, in a number of calls that grows with agents."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hyperhive.domain.errors import ForbiddenError, UnauthorizedError
from hyperhive.domain.forge import OWNERS
from hyperhive.domain.forge_plan import (
    BRANCH,
    Organisation,
    Seen,
    SeenAccount,
    SeenDocs,
    Team,
    Wanted,
)
from hyperhive.domain.forge_port import Forge
from hyperhive.forge.box_files import MAIL_DOMAIN

CALLS_AT_ONCE: Final = 8

Result = TypeVar("Result")


@dataclass(slots=True)
class View:
    """What was seen, and what the forge calls it by."""

    seen: Seen
    teams: dict[tuple[str, str], int] = field(default_factory=dict)
    """The numbers of teams, by organisation and name."""
    hooks: dict[str, int] = field(default_factory=dict)
    """The numbers of the hive's webhooks, by organisation."""


async def look(
    forge: Forge, wanted: Wanted, token_of: Callable[[str], str | None], hook_mark: str
) -> View:
    """See what is there of what is wanted, gone or no longer declared.

    ``token_of`` reads the token that an account has; ``hook_mark`` is in the address of every
    webhook that is the hive's own.
    """
    view = View(Seen())
    users = {user.name.lower(): user for user in await forge.users()}
    names = [name for name in (*wanted.accounts, *wanted.gone) if name.lower() in users]
    works = await several(_works(forge, name, token_of(name)) for name in names)
    accounts = {}
    for name, has_token in zip(names, works, strict=True):
        user = users[name.lower()]
        ours = user.email.lower().endswith(f"@{MAIL_DOMAIN}")
        accounts[name] = SeenAccount(ours, user.is_active, has_token)
    there = {org.name: org for org in await forge.orgs()}
    kept = [name for name in sorted({*wanted.orgs, *wanted.former}) if name in there]
    found = await several(_org(forge, name, there[name].description, view) for name in kept)
    orgs = dict(zip(kept, found, strict=True))
    hooks = await several(
        _hook(forge, name, hook_mark, view) for name in kept if name in wanted.orgs
    )
    docs = wanted.docs
    view.seen = Seen(
        accounts,
        orgs,
        await _docs(forge, docs.org, docs.repository) if docs.org in there else None,
        {name: url for name, url in hooks if url is not None},
    )
    return view


async def several(calls: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Make calls side by side, a few at a time; the first that fails ends the others."""
    slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(call: Coroutine[Any, Any, Result]) -> Result:
        async with slots:
            return await call

    waiting = list(calls)
    tasks = [asyncio.ensure_future(one(call)) for call in waiting]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in waiting:
            call.close()
        raise


async def _works(forge: Forge, name: str, token: str | None) -> bool:
    if token is None:
        return False
    client = forge.speaking_as(token)
    try:
        return (await client.me()).name.lower() == name.lower()
    except (UnauthorizedError, ForbiddenError):
        return False
    finally:
        await client.close()


async def _org(forge: Forge, name: str, description: str, view: View) -> Organisation:
    teams, owners = {}, frozenset[str]()
    for team in await forge.teams(name):
        members = frozenset(await forge.members(team.id))
        view.teams[name, team.name] = team.id
        if team.name == OWNERS:
            owners = members
        else:
            teams[team.name] = Team(team.shape.access, members, team.shape.may_create_repositories)
    return Organisation(teams, owners, description)


async def _hook(forge: Forge, org: str, mark: str, view: View) -> tuple[str, str | None]:
    for hook in await forge.hooks(org):
        if mark in hook.shape.url:
            view.hooks[org] = hook.id
            return org, hook.shape.url if hook.is_active else None
    return org, None


async def _docs(forge: Forge, org: str, name: str) -> SeenDocs | None:
    found = await forge.repository(org, name)
    if found is None:
        return None
    for each in await forge.protections(org, name):
        if each.branch == BRANCH:
            return SeenDocs(not found.empty, each.push_users)
    return SeenDocs(not found.empty)
