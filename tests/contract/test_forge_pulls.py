"""What every forge promises of pull requests and webhooks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from hyperhive.domain.forge import (
    HookEvent,
    HookShape,
    MergeStyle,
    NewPull,
    Protection,
    Pull,
    PullState,
    Verdict,
)
from tests.contract.forges import (
    FORGES,
    PATIENCE_SECONDS,
    Bench,
    Person,
    an_ear,
    signature,
)
from tests.promises import promise

pytestmark = pytest.mark.anyio


@pytest.fixture(params=FORGES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with FORGES[request.param](tmp_path) as bench:
        yield bench


async def opened(bench: Bench) -> tuple[Person, Person, str, Path, Pull]:
    """Let alice open a pull request in an organisation that bob is in, too."""
    alice, bob = await bench.person("alice"), await bench.person("bob")
    org = await bench.org(alice, bob)
    work = await alice.git.clone(await bench.repository(org))
    await alice.git.commit(work, "a.txt", "one\n", branch="topic")
    await alice.git("push", "-q", "origin", "topic", cwd=work)
    pull = await alice.client.open_pull(org, "app", NewPull("topic", "main", "Add a", "Because."))
    return alice, bob, org, work, pull


async def mergeable(person: Person, org: str, number: int) -> Pull:
    """Wait until the forge has found out whether it merges."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (pull := await person.client.pull(org, "app", number)).mergeable:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return pull


async def test_an_opened_pull_request_is_there_with_what_it_changes(bench: Bench) -> None:
    alice, bob, org, _, pull = await opened(bench)
    assert (pull.number, pull.state, pull.author) == (1, PullState.OPEN, alice.name)
    [found] = await bob.client.pulls(org, "app")
    assert (found.title, found.body, found.head, found.base) == (
        "Add a",
        "Because.",
        "topic",
        "main",
    )
    assert "+one" in await bob.client.diff(org, "app", 1)


async def test_a_pull_request_is_opened_once(bench: Bench) -> None:
    alice, _, org, _, _ = await opened(bench)
    with pytest.raises(ConflictError):
        await alice.client.open_pull(org, "app", NewPull("topic", "main", "Again"))


async def test_a_branch_that_is_not_there_is_refused(bench: Bench) -> None:
    alice, _, org, _, _ = await opened(bench)
    with pytest.raises((InvalidError, NotFoundError)):
        await alice.client.open_pull(org, "app", NewPull("nowhere", "main", "Nothing"))


@pytest.mark.parametrize("style", MergeStyle)
async def test_what_is_merged_is_in_the_base(bench: Bench, style: MergeStyle) -> None:
    _, bob, org, _, pull = await opened(bench)
    await mergeable(bob, org, pull.number)
    merged = await bob.client.merge(org, "app", pull.number, style)
    assert (merged.state, merged.merged_by) == (PullState.MERGED, bob.name)
    repository = await bob.client.repository(org, "app")
    assert repository is not None
    work = await bob.git.clone(repository.clone_url)
    assert (work / "a.txt").read_text() == "one\n"
    assert await bob.client.pulls(org, "app") == []
    [closed] = await bob.client.pulls(org, "app", state=PullState.CLOSED)
    assert closed.state is PullState.MERGED


async def test_what_conflicts_is_not_merged(bench: Bench) -> None:
    alice, bob, org, work, pull = await opened(bench)
    await alice.git("checkout", "-q", "main", cwd=work)
    await alice.git.commit(work, "a.txt", "other\n")
    await alice.git("push", "-q", "origin", "main", cwd=work)
    with pytest.raises(ConflictError):
        await bob.client.merge(org, "app", pull.number)
    assert (await bob.client.pull(org, "app", pull.number)).state is PullState.OPEN


async def test_a_base_that_moved_on_is_not_fast_forwarded(bench: Bench) -> None:
    alice, bob, org, work, pull = await opened(bench)
    await alice.git("checkout", "-q", "main", cwd=work)
    await alice.git.commit(work, "b.txt", "other\n")
    await alice.git("push", "-q", "origin", "main", cwd=work)
    await mergeable(bob, org, pull.number)
    with pytest.raises(ConflictError):
        await bob.client.merge(org, "app", pull.number, MergeStyle.FAST_FORWARD)


async def test_a_closed_pull_request_is_not_merged(bench: Bench) -> None:
    alice, bob, org, _, pull = await opened(bench)
    closed = await alice.client.close_pull(org, "app", pull.number)
    assert closed.state is PullState.CLOSED
    # The embedded forge tells who it was by its webhook, and does not keep it.
    who = alice.name if bench.kind == "forgejo" else None
    assert await bench.admin.closed_by(closed) == who
    with pytest.raises(ConflictError):
        await bob.client.merge(org, "app", pull.number)


async def test_a_stranger_sees_and_merges_nothing(bench: Bench) -> None:
    _, _, org, _, pull = await opened(bench)
    eve = await bench.person("eve")
    with pytest.raises((NotFoundError, ForbiddenError)):
        await eve.client.merge(org, "app", pull.number)
    with pytest.raises(NotFoundError):
        await eve.client.diff(org, "app", pull.number)


async def test_a_review_that_is_asked_for_is_owed_until_it_is_given(bench: Bench) -> None:
    alice, bob, org, _, pull = await opened(bench)
    await alice.client.request_review(org, "app", pull.number, [bob.name])
    found = await alice.client.pull(org, "app", pull.number)
    assert found.requested_reviewers == {bob.name}
    await bob.client.review(org, "app", pull.number, Verdict.APPROVED, "good")
    said = await alice.client.reviews(org, "app", pull.number)
    assert [(one.reviewer, one.verdict) for one in said] == [(bob.name, Verdict.APPROVED)]
    assert (await alice.client.pull(org, "app", pull.number)).requested_reviewers == frozenset()


async def test_a_review_can_be_asked_for_again(bench: Bench) -> None:
    alice, bob, org, _, pull = await opened(bench)
    for _ in range(2):
        await alice.client.request_review(org, "app", pull.number, [bob.name])
        [found] = await alice.client.pulls(org, "app")
        assert found.requested_reviewers == {bob.name}
        await bob.client.review(org, "app", pull.number, Verdict.CHANGES, "not yet")
        [found] = await alice.client.pulls(org, "app")
        assert found.requested_reviewers == frozenset()


async def test_nobody_approves_their_own(bench: Bench) -> None:
    alice, _, org, _, pull = await opened(bench)
    with pytest.raises(InvalidError):
        await alice.client.review(org, "app", pull.number, Verdict.APPROVED, "mine")


@promise("F3")
async def test_a_protected_branch_takes_what_is_approved(bench: Bench) -> None:
    _, bob, org, _, pull = await opened(bench)
    await bench.admin.protect(org, "app", Protection("main", required_approvals=1))
    await mergeable(bob, org, pull.number)
    with pytest.raises(ConflictError):
        await bob.client.merge(org, "app", pull.number)
    await bob.client.review(org, "app", pull.number, Verdict.APPROVED, "good")
    assert (await bob.client.merge(org, "app", pull.number)).state is PullState.MERGED


async def test_comments_are_there_in_order(bench: Bench) -> None:
    alice, bob, org, _, pull = await opened(bench)
    await alice.client.comment(org, "app", pull.number, "first")
    await bob.client.comment(org, "app", pull.number, "second")
    said = await alice.client.comments(org, "app", pull.number)
    assert [(one.author, one.body) for one in said] == [
        (alice.name, "first"),
        (bob.name, "second"),
    ]


async def test_a_push_moves_the_head_of_a_pull_request(bench: Bench) -> None:
    alice, _, org, work, pull = await opened(bench)
    await alice.git.commit(work, "a.txt", "two\n")
    await alice.git("push", "-q", "origin", "topic", cwd=work)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await alice.client.pull(org, "app", 1)).head_commit == pull.head_commit:  # noqa: ASYNC110 - the forge tells nobody
            await asyncio.sleep(0.05)
        while "+two" not in await alice.client.diff(org, "app", 1):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_hooks_are_kept_without_their_secret(bench: Bench) -> None:
    org = await bench.org()
    shape = HookShape("http://127.0.0.1:9/a", frozenset({HookEvent.PUSH, HookEvent.PULL_REQUEST}))
    hook = await bench.admin.create_hook(org, shape, "secret")
    assert [(one.shape, one.is_active) for one in await bench.admin.hooks(org)] == [(shape, True)]
    moved = HookShape("http://127.0.0.1:9/b", frozenset({HookEvent.PUSH}))
    await bench.admin.change_hook(org, hook.id, moved, "other")
    assert [one.shape for one in await bench.admin.hooks(org)] == [moved]
    await bench.admin.delete_hook(org, hook.id)
    await bench.admin.delete_hook(org, hook.id)
    assert await bench.admin.hooks(org) == []


@promise("F4")
async def test_a_hook_is_told_signed_of_pushes_and_pull_requests(
    bench: Bench, tmp_path: Path
) -> None:
    async with an_ear(tmp_path) as ear:
        alice, bob = await bench.person("alice"), await bench.person("bob")
        org = await bench.org(alice, bob)
        events = frozenset({HookEvent.PUSH, HookEvent.PULL_REQUEST})
        await bench.admin.create_hook(org, HookShape(ear.url, events), "the secret")
        work = await alice.git.clone(await bench.repository(org))
        await alice.git.commit(work, "a.txt", "one\n", branch="topic")
        await alice.git("push", "-q", "origin", "topic", cwd=work)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (push := await ear.wait("push"))["ref"] != "refs/heads/topic":
                ear.heard.pop(0)
        assert push["repository"]["full_name"] == f"{org}/app"
        assert push["pusher"]["login"] == alice.name
        await alice.client.open_pull(org, "app", NewPull("topic", "main", "Add a"))
        told = await ear.wait("pull_request", "opened")
        assert (told["number"], told["pull_request"]["title"]) == (1, "Add a")
        assert told["signature"] == signature("the secret", told["raw"])
        await alice.client.request_review(org, "app", 1, [bob.name])
        told = await ear.wait("pull_request", "review_requested")
        assert told["requested_reviewer"]["login"] == bob.name
        await mergeable(bob, org, 1)
        await bob.client.comment(org, "app", 1, "hm")
        assert (await ear.wait("issue_comment", "created"))["comment"]["body"] == "hm"
        await bob.client.review(org, "app", 1, Verdict.APPROVED, "good")
        assert (await ear.wait("pull_request_approved"))["review"]["content"] == "good"
        await bob.client.merge(org, "app", 1)
        assert (await ear.wait("pull_request", "closed"))["pull_request"]["merged"]
