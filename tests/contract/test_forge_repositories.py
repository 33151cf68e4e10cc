"""What every forge promises of repositories, over its API and over git."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.errors import ConflictError, ForbiddenError, NotFoundError
from hyperhive.domain.forge import Access, Protection, RepositoryShape
from tests.contract.forges import FORGES, PATIENCE_SECONDS, Bench
from tests.promises import promise

pytestmark = pytest.mark.anyio


@pytest.fixture(params=FORGES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with FORGES[request.param](tmp_path) as bench:
        yield bench


async def test_a_member_makes_a_repository_and_pushes_to_it_at_once(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    made = await alice.client.create_repository(org, RepositoryShape("app", "what it is"))
    assert (made.full_name, made.private, made.empty) == (f"{org}/app", True, True)
    await alice.git("init", "-q", "-b", "main", "work")
    work = alice.git.home / "work"
    await alice.git.commit(work, "a.txt", "one\n")
    await alice.git("push", "-q", alice.git.address(made.clone_url), "main", cwd=work)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await alice.client.repository(org, "app")) is None or found.empty:  # noqa: ASYNC110 - the forge tells nobody
            await asyncio.sleep(0.05)


async def test_what_one_pushes_another_clones(bench: Bench) -> None:
    alice, bob = await bench.person("alice"), await bench.person("bob")
    org = await bench.org(alice, bob)
    url = await bench.repository(org)
    work = await alice.git.clone(url)
    await alice.git.commit(work, "a.txt", "one\n")
    await alice.git("push", "-q", "origin", "main", cwd=work)
    assert ((await bob.git.clone(url)) / "a.txt").read_text() == "one\n"


async def test_a_name_is_given_once_in_an_organisation(bench: Bench) -> None:
    org = await bench.org()
    await bench.repository(org)
    with pytest.raises(ConflictError):
        await bench.repository(org)


async def test_a_reader_neither_makes_nor_pushes(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice, access=Access.READ)
    url = await bench.repository(org)
    with pytest.raises(ForbiddenError):
        await alice.client.create_repository(org, RepositoryShape("more"))
    work = await alice.git.clone(url)
    await alice.git.commit(work, "a.txt", "one\n")
    await alice.git.fails("push", "origin", "main", cwd=work)


@promise("F1")
async def test_a_private_repository_is_not_there_for_strangers(bench: Bench) -> None:
    eve = await bench.person("eve")
    org = await bench.org()
    url = await bench.repository(org)
    assert await eve.client.repository(org, "app") is None
    with pytest.raises(NotFoundError):
        await eve.client.pulls(org, "app")
    await eve.git.fails("clone", eve.git.address(url), "work")
    await eve.git("init", "-q", "-b", "main", "mine")
    await eve.git.commit(eve.git.home / "mine", "a.txt", "one\n")
    said = await eve.git.fails("push", eve.git.address(url), "main:eve", cwd=eve.git.home / "mine")
    assert "not found" in said


@promise("F1")
async def test_git_needs_a_token_that_is_valid(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    url = await bench.repository(org)
    await alice.git.fails("clone", url, "anonymous")
    await bench.admin.delete_token(alice.name, "git")
    said = await alice.git.fails("clone", alice.git.address(url), "revoked")
    assert "Authentication failed" in said


async def test_a_removed_repository_is_gone_and_removing_it_twice_is_fine(bench: Bench) -> None:
    org = await bench.org()
    await bench.repository(org)
    await bench.admin.delete_repository(org, "app")
    await bench.admin.delete_repository(org, "app")
    assert await bench.admin.repository(org, "app") is None
    await bench.repository(org)


async def test_repositories_are_listed_beyond_one_page(bench: Bench) -> None:
    org = await bench.org()
    names = {f"repo-{number:02}" for number in range(55)}
    for name in names:
        await bench.admin.create_repository(org, RepositoryShape(name))
    assert {found.name for found in await bench.admin.repositories(org)} == names


@promise("F3")
async def test_a_protected_branch_is_pushed_to_by_those_named_alone(bench: Bench) -> None:
    alice, bob = await bench.person("alice"), await bench.person("bob")
    org = await bench.org(alice, bob)
    url = await bench.repository(org)
    rule = Protection("main", push_users=frozenset({bob.name}))
    await bench.admin.protect(org, "app", rule)
    work = await alice.git.clone(url)
    await alice.git.commit(work, "a.txt", "one\n")
    said = await alice.git.fails("push", "origin", "main", cwd=work)
    assert "protected" in said
    await alice.git("push", "-q", "origin", "main:topic", cwd=work)
    theirs = await bob.git.clone(url)
    await bob.git.commit(theirs, "b.txt", "two\n")
    await bob.git("push", "-q", "origin", "main", cwd=theirs)
    await bob.git.fails("push", "--force", "origin", "HEAD~1:main", cwd=theirs)
    await bob.git.fails("push", "origin", ":main", cwd=theirs)


async def test_a_team_can_be_named_to_push_to_a_protected_branch(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    url = await bench.repository(org)
    await bench.admin.protect(org, "app", Protection("main", push_teams=frozenset({"devs"})))
    work = await alice.git.clone(url)
    await alice.git.commit(work, "a.txt", "one\n")
    await alice.git("push", "-q", "origin", "main", cwd=work)


async def test_protecting_anew_replaces_and_unprotecting_twice_is_fine(bench: Bench) -> None:
    org = await bench.org()
    await bench.repository(org)
    await bench.admin.protect(org, "app", Protection("main"))
    rule = Protection("main", push_teams=frozenset({"devs"}), required_approvals=1)
    await bench.admin.protect(org, "app", rule)
    assert await bench.admin.protections(org, "app") == [rule]
    await bench.admin.unprotect(org, "app", "main")
    await bench.admin.unprotect(org, "app", "main")
    assert await bench.admin.protections(org, "app") == []


async def test_a_clone_whose_history_is_cut_off_can_push(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    url = await bench.repository(org)
    work = await alice.git.clone(url)
    await alice.git.commit(work, "a.txt", "one\n")
    await alice.git("push", "-q", "origin", "main", cwd=work)
    await alice.git("clone", "-q", "--depth", "1", alice.git.address(url), "shallow")
    shallow = alice.git.home / "shallow"
    await alice.git.commit(shallow, "a.txt", "two\n")
    await alice.git("push", "-q", "origin", "main", cwd=shallow)
    await alice.git("pull", "-q", cwd=work)
    assert (work / "a.txt").read_text() == "two\n"
