"""What every forge promises of accounts, tokens, organisations and teams."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    ForgeUnavailableError,
    NotFoundError,
    UnauthorizedError,
)
from hyperhive.domain.forge import (
    OWNERS,
    Access,
    NewUser,
    Org,
    RepositoryShape,
    Scope,
    TeamShape,
)
from tests.contract.forges import FORGES, Bench
from tests.promises import promise

pytestmark = pytest.mark.anyio


@pytest.fixture(params=FORGES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with FORGES[request.param](tmp_path) as bench:
        yield bench


async def test_a_forge_says_what_it_is(bench: Bench) -> None:
    assert await bench.admin.version()
    assert (await bench.admin.me()).is_admin


async def test_an_account_that_was_made_is_there(bench: Bench) -> None:
    alice = await bench.person("alice")
    found = await bench.admin.user(alice.name)
    assert found is not None
    assert (found.name, found.is_admin, found.is_active) == (alice.name, False, True)
    assert alice.name in [user.name for user in await bench.admin.users()]


async def test_nobody_is_none(bench: Bench) -> None:
    assert await bench.admin.user(bench.called("nobody")) is None


async def test_an_organisation_is_no_user(bench: Bench) -> None:
    org = await bench.org()
    assert await bench.admin.user(org) is None


@pytest.mark.parametrize("taken", ["name", "email"])
async def test_a_name_and_an_address_are_given_once(bench: Bench, taken: str) -> None:
    alice = await bench.person("alice")
    new = NewUser(alice.name, f"{bench.called('new')}@example.org")
    if taken == "email":
        new = NewUser(bench.called("new"), f"{alice.name}@example.org")
    with pytest.raises(ConflictError):
        await bench.admin.create_user(new)


async def test_a_removed_account_is_gone_with_its_token(bench: Bench) -> None:
    alice = await bench.person("alice")
    await bench.admin.delete_user(alice.name)
    assert await bench.admin.user(alice.name) is None
    with pytest.raises(UnauthorizedError):
        await alice.client.me()
    with pytest.raises(NotFoundError):
        await bench.admin.delete_user(alice.name)


async def test_an_account_that_owns_something_is_not_removed(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.WRITE_REPOSITORY, Scope.WRITE_USER))
    await alice.client.create_own_repository(RepositoryShape("mine"))
    with pytest.raises(ConflictError):
        await bench.admin.delete_user(alice.name)


@promise("F2")
async def test_who_is_shut_out_gets_nothing_until_let_in_again(bench: Bench) -> None:
    alice = await bench.person("alice")
    await bench.admin.set_active(alice.name, active=False)
    with pytest.raises((UnauthorizedError, ForbiddenError)):
        await alice.client.me()
    await bench.admin.set_active(alice.name, active=True)
    assert (await alice.client.me()).name == alice.name


async def test_a_token_is_listed_without_its_secret(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.READ_USER,))
    [token] = await bench.admin.tokens(alice.name)
    assert (token.name, token.scopes) == ("git", frozenset({Scope.READ_USER}))
    assert token.last_eight == alice.git.token[-8:]


@promise("F2")
async def test_a_token_made_anew_voids_the_one_before(bench: Bench) -> None:
    alice = await bench.person("alice")
    again = await bench.admin.create_token(alice.name, "git", (Scope.READ_USER,))
    with pytest.raises(UnauthorizedError):
        await alice.client.me()
    speaking = alice.client.speaking_as(again.secret)
    assert (await speaking.me()).name == alice.name
    await speaking.close()


async def test_a_voided_token_is_void_and_voiding_it_twice_is_fine(bench: Bench) -> None:
    alice = await bench.person("alice")
    await bench.admin.delete_token(alice.name, "git")
    await bench.admin.delete_token(alice.name, "git")
    assert await bench.admin.tokens(alice.name) == []
    with pytest.raises(UnauthorizedError):
        await alice.client.me()


async def test_a_wrong_token_is_refused(bench: Bench) -> None:
    wrong = bench.admin.speaking_as("0" * 40)
    with pytest.raises(UnauthorizedError):
        await wrong.me()
    await wrong.close()


@promise("F2")
async def test_a_token_reaches_as_far_as_its_scopes(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.READ_USER, Scope.READ_REPOSITORY))
    org = await bench.org(alice)
    await bench.repository(org)
    assert await alice.client.repository(org, "app") is not None
    with pytest.raises(ForbiddenError):
        await alice.client.create_repository(org, RepositoryShape("more"))


async def test_nobody_but_an_administrator_administers(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.ALL,))
    with pytest.raises(ForbiddenError):
        await alice.client.users()
    with pytest.raises(ForbiddenError):
        await alice.client.create_user(NewUser(bench.called("eve"), "eve@example.org"))
    with pytest.raises(ForbiddenError):
        await alice.client.create_org(Org(bench.called("own")))


async def test_who_may_own_none_makes_no_repository_of_its_own(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.ALL,))
    await bench.admin.set_repositories_max(alice.name, 0)
    # A Forgejo fails at it, instead of refusing.
    with pytest.raises((ForbiddenError, ForgeUnavailableError)):
        await alice.client.create_own_repository(RepositoryShape("mine"))
    assert await alice.client.repository(alice.name, "mine") is None


async def test_an_organisation_is_made_with_its_owners(bench: Bench) -> None:
    name = bench.called("acme")
    await bench.admin.create_org(Org(name, "what for"))
    assert await bench.admin.org(name) == Org(name, "what for")
    [owners] = await bench.admin.teams(name)
    assert (owners.name, owners.shape.access) == (OWNERS, Access.OWNER)
    assert await bench.admin.members(owners.id) == [(await bench.admin.me()).name]


async def test_an_organisation_is_made_once_and_removed_when_it_is_empty(bench: Bench) -> None:
    org = await bench.org()
    with pytest.raises(ConflictError):
        await bench.admin.create_org(Org(org))
    await bench.repository(org)
    with pytest.raises(ConflictError):
        await bench.admin.delete_org(org)
    await bench.admin.delete_repository(org, "app")
    await bench.admin.delete_org(org)
    assert await bench.admin.org(org) is None


async def test_an_organisation_is_not_there_for_strangers(bench: Bench) -> None:
    alice = await bench.person("alice", (Scope.ALL,))
    org = await bench.org()
    assert await alice.client.org(org) is None


async def test_a_team_becomes_what_it_is_told_to_be(bench: Bench) -> None:
    org = await bench.org()
    team = next(one for one in await bench.admin.teams(org) if one.name == "devs")
    shape = replace(team.shape, access=Access.READ, may_create_repositories=False)
    await bench.admin.change_team(team.id, shape)
    assert shape in [one.shape for one in await bench.admin.teams(org)]


async def test_a_team_is_made_once(bench: Bench) -> None:
    org = await bench.org()
    with pytest.raises(ConflictError):
        await bench.admin.create_team(org, TeamShape("devs"))


async def test_members_come_and_go_and_twice_is_fine(bench: Bench) -> None:
    alice, bob = await bench.person("alice"), await bench.person("bob")
    org = await bench.org(alice)
    team = next(one for one in await bench.admin.teams(org) if one.name == "devs")
    await bench.admin.add_member(team.id, bob.name)
    await bench.admin.add_member(team.id, bob.name)
    assert sorted(await bench.admin.members(team.id)) == sorted([alice.name, bob.name])
    await bench.admin.remove_member(team.id, bob.name)
    await bench.admin.remove_member(team.id, bob.name)
    assert await bench.admin.members(team.id) == [alice.name]


async def test_lists_reach_beyond_one_page(bench: Bench) -> None:
    org = await bench.org()
    names = {f"team-{number:02}" for number in range(55)}
    for name in names:
        await bench.admin.create_team(org, TeamShape(name))
    assert {team.name for team in await bench.admin.teams(org)} >= names
