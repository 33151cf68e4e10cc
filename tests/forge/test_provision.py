"""The provisioner against a forge in memory: what agents get, keep and lose."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR, Actor
from hyperhive.domain.errors import ConflictError, ForbiddenError
from hyperhive.domain.forge import User
from hyperhive.domain.forge_plan import COMMON_ORG, MEMBERS, READERS, SYSTEM_ACCOUNT, WRITERS
from hyperhive.domain.paths import HivePaths
from hyperhive.forge.box_files import BoxFiles
from hyperhive.forge.provision import Hooked, Provisioner
from hyperhive.services.agents import Agents
from hyperhive.services.forge import ALERT, ForgeDesk
from hyperhive.store import Store, alerts, audit
from tests.builders import THREE, a_hive, a_store
from tests.forge.memory import MemoryForge, World, down
from tests.promises import promise

pytestmark = pytest.mark.anyio
URL = "http://forge.test"


@dataclass
class Provisioned:
    """A provisioner, and all around it."""

    directory: Path
    store: Store
    agents: Agents
    desk: ForgeDesk
    forge: MemoryForge
    files: BoxFiles
    provisioner: Provisioner
    seeded: list[str]

    async def declare(self, names: tuple[str, ...] = THREE, **settings: Any) -> None:
        """Declare other agents or settings from now on."""
        await self.agents.declare(a_hive(self.directory, self.directory / "run", names, **settings))

    def members(self, org: str, team: str) -> set[str]:
        """Give who is in a team."""
        world = self.forge.world
        found = [
            number for number, (of, shape) in world.teams.items() if (of, shape.name) == (org, team)
        ]
        return world.members[found[0]] if found else set()

    async def alert(self) -> str | None:
        """Give what the operator is told."""
        return await self.store.read(lambda asking: alerts.text_of(asking, ALERT))


@asynccontextmanager
async def a_provisioner(
    directory: Path, names: tuple[str, ...] = THREE, **settings: Any
) -> AsyncIterator[Provisioned]:
    async with a_store(directory) as store:
        hive = a_hive(directory, directory / "run", names, **settings)
        agents = Agents(store, hive)
        await agents.declare(hive)
        desk, forge = ForgeDesk(store, "embedded"), MemoryForge()
        port: Any = forge
        files = BoxFiles(HivePaths(hive.state_dir, hive.run_dir))
        seeded: list[str] = []

        async def seed(org: str, repository: str) -> None:
            seeded.append(f"{org}/{repository}")
            there = forge.world.repositories
            there[seeded[-1]] = replace(there[seeded[-1]], empty=False)

        provisioner = Provisioner(
            store,
            agents,
            desk,
            port,
            files,
            directory / "forge" / "token",
            agents_url=URL,
            seed=seed,
            hook=Hooked("http://127.0.0.1:1/forge?hive=x", "/forge?hive=x", "s"),
        )
        yield Provisioned(directory, store, agents, desk, forge, files, provisioner, seeded)


async def test_an_agent_gets_an_account_a_token_of_its_own_and_its_places(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        assert await it.provisioner.pass_once() == {}
        world = it.forge.world
        assert {*THREE, "operator", SYSTEM_ACCOUNT} < world.users.keys()
        tokens = {name: it.files.token(name) for name in THREE}
        assert len(set(tokens.values())) == 3
        assert all(world.tokens[name, "hyperhive"] == token for name, token in tokens.items())
        assert it.members(COMMON_ORG, MEMBERS) == set(THREE)
        assert it.members("org-shared", READERS) == {*THREE, SYSTEM_ACCOUNT}
        assert it.members("org-shared", WRITERS) == {"queen"}
        assert it.seeded == ["org-shared/docs"]
        assert world.protections["org-shared/docs"].push_users == {"queen", "operator"}


@promise("F22")
async def test_a_token_is_a_file_that_nobody_else_can_read_and_is_in_no_other(
    tmp_path: Path,
) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        token = it.files.token("alice")
        assert token is not None
        place = tmp_path / "run" / "agents" / "alice"
        assert stat.S_IMODE((place / "forge-token").stat().st_mode) == 0o600
        assert _holding(tmp_path, token) == [place / "forge-token"]


@promise("F23")
async def test_a_second_pass_changes_nothing_and_costs_a_few_calls_an_agent(
    tmp_path: Path,
) -> None:
    names = tuple(f"agent-{number}" for number in range(40))
    async with a_provisioner(tmp_path, names) as it:
        await it.provisioner.pass_once()
        it.forge.world.calls.clear()
        assert await it.provisioner.pass_once() == {}
        calls = it.forge.world.calls
        assert not {call for call in calls if call.startswith(("create", "add", "change", "set"))}
        assert len(calls) <= len(names) + 20
        assert (await it.provisioner.preview()).actions == ()


@promise("F24")
async def test_an_agent_that_goes_loses_token_files_and_access_and_gets_them_back(
    tmp_path: Path,
) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        await it.declare(("queen", "alice"))
        assert await it.provisioner.pass_once() == {}
        world = it.forge.world
        assert not world.users["bob"].is_active
        assert ("bob", "hyperhive") not in world.tokens
        assert it.files.token("bob") is None
        assert "bob" not in it.members(COMMON_ORG, MEMBERS)
        assert (await it.provisioner.preview()).actions == ()
        await it.declare()
        await it.provisioner.pass_once()
        assert world.users["bob"].is_active
        assert it.files.token("bob") == world.tokens["bob", "hyperhive"]


async def test_membership_follows_the_declaration_both_ways(tmp_path: Path) -> None:
    def declared(*members: str) -> dict[str, Any]:
        teams = {"core": {"permission": "admin", "members": list(members)}}
        return {"hive": {"forge": {"orgs": {"work": {"teams": teams}}}}}

    async with a_provisioner(tmp_path, **declared("alice", "manager")) as it:
        await it.provisioner.pass_once()
        assert it.members("work", "core") == {"alice", "queen"}
        await it.declare(**declared("bob", "operator"))
        await it.provisioner.pass_once()
        assert it.members("work", "core") == {"bob", "operator"}
        await it.declare()
        await it.provisioner.pass_once()
        assert it.members("work", "core") == set()


async def test_who_may_not_create_repositories_is_in_a_team_that_may_not(tmp_path: Path) -> None:
    alice = {"forge": {"orgs": ["work"], "mayCreateRepositories": False}}
    settings: dict[str, Any] = {"hive": {"forge": {"orgs": {"work": {}}}}, "alice": alice}
    async with a_provisioner(tmp_path, **settings) as it:
        await it.provisioner.pass_once()
        shapes = {
            shape.name: shape.may_create_repositories
            for number, (org, shape) in it.forge.world.teams.items()
            if "alice" in it.forge.world.members[number]
        }
        assert shapes == {"hive-contributors": False, READERS: False}


@promise("F25")
async def test_a_forge_that_is_down_is_an_alert_and_then_none(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        it.forge.world.fails = down
        assert not await it.provisioner._attempt()
        assert "does not answer" in (await it.alert() or "")
        assert it.desk.state == "unreachable"
        it.forge.world.fails = lambda _: None
        assert await it.provisioner._attempt()
        assert await it.alert() is None
        assert it.desk.state == "ready"


async def test_a_forge_that_dies_at_any_call_is_provisioned_by_the_passes_after_it(
    tmp_path: Path,
) -> None:
    async with a_provisioner(tmp_path) as it:
        for dies_at in range(1, 400):
            it.forge.world.calls.clear()
            it.forge.world.fails = partial(_down_from, it.forge.world, dies_at)
            if await it.provisioner._attempt():
                break
        else:
            raise AssertionError("it never came to its end")
        it.forge.world.fails = lambda _: None
        assert (await it.provisioner.preview()).actions == ()
        assert all(it.files.token(name) for name in THREE)


async def test_an_account_of_somebody_elses_is_left_alone_and_told_of(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        it.forge.world.users["alice"] = User("alice", email="alice@example.org")
        assert set(await it.provisioner.pass_once()) == {"alice"}
        assert it.files.token("alice") is None
        assert it.files.token("bob") is not None
        assert ("alice", "hyperhive") not in it.forge.world.tokens


async def test_a_rotated_token_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        before = it.files.token("alice")
        done = await it.desk.rotate(THE_OPERATOR, "alice", via="test")
        assert done["account"] == "alice"
        after = it.files.token("alice")
        assert after not in {None, before}
        assert it.forge.world.tokens["alice", "hyperhive"] == after


async def test_a_token_that_somebody_has_voided_is_made_anew(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        del it.forge.world.tokens["alice", "hyperhive"]
        await it.provisioner.pass_once()
        assert it.files.token("alice") == it.forge.world.tokens["alice", "hyperhive"]


def _holding(directory: Path, secret: str) -> list[Path]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


def _down_from(world: World, last: int, name: str) -> Exception | None:
    return down(name) if len(world.calls) >= last else None


async def test_the_operator_gets_in_by_a_new_password_that_is_kept_nowhere(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        given = await it.desk.new_password(THE_OPERATOR, via="test")
        assert (given["account"], given["password"]) == ("operator", "password of operator")
        assert _holding(tmp_path, "password of operator") == []
        noted = await it.store.read(lambda asking: audit.search(asking, before=None, limit=10))
        assert [each["verb"] for each in noted] == ["password"]


async def test_an_operators_account_that_the_hive_did_not_make_keeps_its_password(
    tmp_path: Path,
) -> None:
    async with a_provisioner(tmp_path) as it:
        it.forge.world.users["operator"] = User("operator", "", "me@example.org")
        await it.provisioner.pass_once()
        with pytest.raises(ConflictError):
            await it.desk.new_password(THE_OPERATOR, via="test")
        assert "new_password" not in it.forge.world.calls


async def test_nobody_but_the_operator_gets_in_as_the_operator(tmp_path: Path) -> None:
    async with a_provisioner(tmp_path) as it:
        await it.provisioner.pass_once()
        with pytest.raises(ForbiddenError):
            await it.desk.new_password(Actor("alice", is_agent=True), via="test")
