"""Keeps the forge as it is declared: accounts, tokens, organisations, teams, the docs repository.

Level-triggered, as the reconciler of boxes: each pass looks, plans and acts, and a pass that finds
nothing to do changes nothing. A forge that is down, or an action that fails, costs an alert and
another try after a wait that grows; agents run meanwhile, and what could be done is done. An
account is recorded before it is made, so that none is ever forgotten.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, assert_never

from hyperhive.bus import LIFECYCLE
from hyperhive.config import Hive
from hyperhive.domain import forge_plan
from hyperhive.domain.errors import (
    ConflictError,
    ForgeUnavailableError,
    HiveError,
    NotFoundError,
)
from hyperhive.domain.forge import (
    HookEvent,
    HookShape,
    NewUser,
    Org,
    Protection,
    RepositoryShape,
    Scope,
)
from hyperhive.domain.forge_plan import (
    BRANCH,
    SYSTEM_ACCOUNT,
    ForgeAction,
    ForgePlan,
    Wanted,
    plan_forge,
)
from hyperhive.domain.forge_port import Forge
from hyperhive.forge.box_files import BoxFiles, mail_of
from hyperhive.forge.observing import View, look, several
from hyperhive.forge.wanted import wanted_forge
from hyperhive.services.agents import Agents
from hyperhive.services.forge import ForgeDesk
from hyperhive.store import Store, Writing, spawned
from hyperhive.store import forge as rows

CHECK_SECONDS: Final = 300.0
"""How often a forge that was as declared is looked at again."""
FIRST_WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 600.0
TOKEN_NAME: Final = "hyperhive"  # noqa: S105 - what the forge calls it
SCOPES: Final = (
    Scope.WRITE_REPOSITORY,
    Scope.WRITE_ISSUE,
    Scope.WRITE_ORGANIZATION,
    Scope.READ_USER,
)
"""What an agent's token is for: to work on repositories and pull requests, and to make
repositories in organisations whose teams let it."""
SYSTEM_SCOPES: Final = (Scope.READ_REPOSITORY, Scope.READ_USER)
EVENTS: Final = frozenset(HookEvent) - {HookEvent.CREATE, HookEvent.DELETE}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooked:
    """Where the forge is to tell of what happens, and the secret that it signs with."""

    url: str
    mark: str
    secret: str = field(repr=False)


class Provisioner:
    """Turns the forge into what is declared, and keeps it so."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        desk: ForgeDesk,
        forge: Forge,
        files: BoxFiles,
        system_token: Path,
        *,
        agents_url: str,
        seed: Callable[[str, str], Awaitable[None]],
        hook: Hooked | None = None,
    ) -> None:
        self._store = store
        self._agents = agents
        self._desk = desk
        self._forge = forge
        self._files = files
        self._system_token = system_token
        self._agents_url = agents_url
        self._seed = seed
        self._hook = hook
        self._busy = asyncio.Lock()
        self._done: Wanted | None = None
        self.when_ready: Callable[[], None] = lambda: None
        desk.reissue, desk.admit = self.reissue, self.admit

    async def run(self) -> None:
        """Provision for ever; an error costs an alert and another try."""
        failures = 0
        await self._desk.note("starting", url=self._agents_url)
        with self._store.bus.watch(LIFECYCLE) as watch:
            while not self._store.bus.closed:
                failures = 0 if await self._attempt() else failures + 1
                wait = CHECK_SECONDS
                if failures:
                    wait = min(FIRST_WAIT_SECONDS * 2 ** (failures - 1), LONGEST_WAIT_SECONDS)
                loop = asyncio.get_running_loop()
                deadline = loop.time() + wait
                while (left := deadline - loop.time()) > 0:
                    if await watch.wait(left) and await self._is_news():
                        break
                    if self._store.bus.closed:
                        return

    async def _attempt(self) -> bool:
        try:
            left = await self.pass_once()
        except HiveError as error:
            _log.warning("the forge is not provisioned: %s", error)
            said = f"The forge cannot be used: {error.detail} Agents run without it meanwhile."
            await self._desk.note("unreachable", said)
            return False
        except Exception:  # noqa: BLE001 - the loop outlives every error
            _log.exception("the forge could not be provisioned; it is tried again")
            await self._desk.note("unreachable", "The forge could not be provisioned: see the log.")
            return False
        if left:
            told = "; ".join(f"{subject}: {why}" for subject, why in sorted(left.items()))
            await self._desk.note("incomplete", f"The forge is not as declared: {told}.")
            return False
        await self._desk.note("ready")
        self.when_ready()
        return True

    async def pass_once(self) -> dict[str, str]:
        """Look, plan and act once; give what could not be done, by what it is about."""
        async with self._busy:
            wanted, view, plan = await self._planned(self._agents.hive)
            await self._store.write(lambda work: _keep(work, wanted))
            failed = dict(plan.obstacles)
            for stage in plan.stages:
                for action in stage:
                    _log.info("%s %s: %s", verb(action), action.subject, action.reason)
                if isinstance(stage[0], forge_plan.Protect | forge_plan.Seed):
                    # Nobody could push the first commit once the branch is protected.
                    stage = tuple(each for each in stage if each.subject not in failed)
                done = await several(self._try(action, view) for action in stage)
                failed |= {subject: why for subject, why in done if why is not None}
            await self._settle(wanted, failed)
            self._done = wanted if not failed else None
            return failed

    async def preview(self, hive: Hive | None = None) -> ForgePlan:
        """Say what a pass would do now, for this declaration or another one; do nothing."""
        _, _, plan = await self._planned(hive or self._agents.hive)
        return plan

    async def reissue(self, name: str) -> None:
        """Make an account's token anew and put it where its agent finds it."""
        async with self._busy:
            wanted = await self._wanted(self._agents.hive)
            account = wanted.accounts.get(name)
            if account is None or not account.has_token:
                known = [each.name for each in wanted.accounts.values() if each.has_token]
                raise NotFoundError("account with a token", name, known)
            await self._own(name, "Rename one of the two.")
            await self._issue(name)

    async def admit(self) -> tuple[str, str]:
        """Give the operator's account another password; give its name and the password."""
        name = self._agents.hive.operator.forge_account
        async with self._busy:
            await self._own(name, "Log in with the password that you have for it.")
            return name, await self._forge.new_password(name)

    async def _own(self, name: str, remedy: str) -> None:
        """See that the hive has made an account, and that it is there."""
        found = await self._forge.user(name)
        if found is None:
            raise ConflictError(f"{name} has no account yet.", "Wait until the forge is ready.")
        if found.email.lower() != mail_of(name).lower():
            raise ConflictError(f"The account {name} on the forge is not the hive's.", remedy)

    async def _planned(self, hive: Hive) -> tuple[Wanted, View, ForgePlan]:
        wanted = await self._wanted(hive)
        mark = self._hook.mark if self._hook is not None else "\0"
        view = await look(self._forge, wanted, self._token_of, mark)
        return wanted, view, plan_forge(wanted, view.seen)

    async def _wanted(self, hive: Hive) -> Wanted:
        gone, former, standing = await self._store.read(
            lambda asking: (
                rows.kept(asking, rows.ACCOUNT),
                rows.kept(asking, rows.ORGANISATION),
                spawned.standing(asking),
            )
        )
        hook = self._hook.url if self._hook is not None else None
        return wanted_forge(hive, gone=gone, former=former, hook=hook, has_spawned=bool(standing))

    async def _is_news(self) -> bool:
        return await self._wanted(self._agents.hive) != self._done

    def _token_of(self, name: str) -> str | None:
        if name != SYSTEM_ACCOUNT:
            return self._files.token(name)
        try:
            return self._system_token.read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    async def _try(self, action: ForgeAction, view: View) -> tuple[str, str | None]:
        try:
            await self._act(action, view)
        except ForgeUnavailableError:
            raise
        except (HiveError, OSError) as error:
            detail = error.detail if isinstance(error, HiveError) else str(error)
            return action.subject, f"{verb(action)} failed ({detail})"
        return action.subject, None

    async def _act(self, action: ForgeAction, view: View) -> None:
        forge = self._forge
        match action:
            case forge_plan.CreateUser(account):
                # Who works with a token is an agent or the hive; who has none is the operator.
                name, is_person = account.name, not account.has_token
                own = None if is_person else 0
                new = NewUser(
                    name,
                    mail_of(name),
                    account.full_name[:100],
                    repositories_max=own,
                    may_create_orgs=is_person,
                )
                await forge.create_user(new)
            case forge_plan.ReadmitUser(name):
                await forge.set_active(name, active=True)
            case forge_plan.RevokeUser(name):
                await forge.delete_token(name, TOKEN_NAME)
                await forge.set_active(name, active=False)
                await asyncio.to_thread(self._files.remove, name)
            case forge_plan.IssueToken(name):
                await self._issue(name)
            case forge_plan.CreateOrganisation(name, description):
                await forge.create_org(Org(name, description))
                view.teams |= {(name, team.name): team.id for team in await forge.teams(name)}
            case forge_plan.CreateTeam(org, team, wanted):
                made = await forge.create_team(org, wanted.shape(team))
                view.teams[org, team] = made.id
            case forge_plan.ChangeTeam(org, team, wanted):
                await forge.change_team(view.teams[org, team], wanted.shape(team))
            case forge_plan.AddMember(org, team, member):
                await forge.add_member(_team(view, org, team), member)
            case forge_plan.RemoveMember(org, team, member):
                await forge.remove_member(_team(view, org, team), member)
            case forge_plan.CreateRepository(org, repository):
                shape = RepositoryShape(repository, "What every agent reads", default_branch=BRANCH)
                await forge.create_repository(org, shape)
            case forge_plan.Seed(org, repository):
                await self._seed(org, repository)
            case forge_plan.Protect(org, repository, pushers):
                await forge.protect(org, repository, Protection(BRANCH, pushers))
            case forge_plan.SetHook(org, url):
                await self._set_hook(org, url, view)
            case _:
                assert_never(action)

    async def _issue(self, name: str) -> None:
        scopes = SYSTEM_SCOPES if name == SYSTEM_ACCOUNT else SCOPES
        made = await self._forge.create_token(name, TOKEN_NAME, scopes)
        if name == SYSTEM_ACCOUNT:
            await asyncio.to_thread(write_secret, self._system_token, made.secret)
        else:
            await asyncio.to_thread(self._files.give, name, made.secret)

    async def _set_hook(self, org: str, url: str, view: View) -> None:
        assert self._hook is not None
        shape, secret = HookShape(url, EVENTS), self._hook.secret
        if org in view.hooks:
            await self._forge.change_hook(org, view.hooks[org], shape, secret)
        else:
            await self._forge.create_hook(org, shape, secret)

    async def _settle(self, wanted: Wanted, failed: dict[str, str]) -> None:
        """Write git's settings for whoever has a token; a box that cannot be told is a failure."""

        def settle() -> None:
            for name in wanted.accounts.keys() & self._agents.hive.agents.keys():
                try:
                    if self._files.token(name) is not None:
                        self._files.settle(name, self._agents_url)
                except OSError as error:
                    failed[name] = f"its box cannot be told of the forge ({error})"

        await asyncio.to_thread(settle)


def shown_plan(plan: ForgePlan) -> list[dict[str, Any]]:
    """Show a plan beside that of the boxes."""
    shown = [
        {"action": verb(action), "agent": action.subject, "reason": action.reason}
        for action in plan.actions
    ]
    return shown + [
        {"action": "leave", "agent": subject, "reason": why}
        for subject, why in plan.obstacles.items()
    ]


def verb(action: ForgeAction) -> str:
    """Name an action in small words, as in ``create user``."""
    name = type(action).__name__
    return "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()


def write_secret(path: Path, secret: str) -> None:
    """Put a secret into a file that only the hive can read; the old one or the new one is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(secret + "\n", encoding="utf-8")
    fresh.replace(path)


def _keep(work: Writing, wanted: Wanted) -> None:
    rows.keep(work, rows.ACCOUNT, wanted.accounts)
    rows.keep(work, rows.ORGANISATION, wanted.orgs)


def _team(view: View, org: str, team: str) -> int:
    found = view.teams.get((org, team))
    if found is None:
        raise NotFoundError("team", f"{org}/{team}")
    return found
