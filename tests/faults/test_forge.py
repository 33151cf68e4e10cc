"""The embedded forge under pressure and in bad company."""

import asyncio
import base64
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hyperhive.domain.errors import HiveError
from hyperhive.domain.forge import NewPull, PullState, RepositoryShape
from hyperhive.forge.embedded import git_http
from hyperhive.forge.embedded.git import Git as GitPrograms
from tests.contract.forges import Bench, Git, an_embedded_forge
from tests.promises import promise

pytestmark = pytest.mark.anyio

CLONES = 20


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with an_embedded_forge(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("name", ["..", ".git", "a/../b", "a\0b", "-x", "a.git", "a\nb", "é", ""])
async def test_a_name_that_could_be_a_path_is_no_repository(bench: Bench, name: str) -> None:
    org = await bench.org()
    with pytest.raises(HiveError):
        await bench.admin.create_repository(org, RepositoryShape(name))
    assert await bench.admin.repositories(org) == []


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/info/refs", "/acme/..%2f..%2fx.git/info/refs"]
)
async def test_a_path_that_leads_out_leads_nowhere(bench: Bench, path: str) -> None:
    there = urlsplit(bench.clone_base)
    reader, writer = await asyncio.open_connection(there.hostname, there.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    status = (await reader.readline()).split()[1]
    writer.close()
    assert status in (b"401", b"404", b"400")


@promise("F7")
@pytest.mark.parametrize("part", ["abc", "99999999999999999999"])
async def test_no_call_makes_the_forge_fail(bench: Bench, part: str) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    await bench.repository(org)
    half = dict.fromkeys(("name", "title", "body", "head", "event", "username"), "�")
    wrong = dict.fromkeys(("name", "title", "head", "event", "config", "teams", "state"), 1.5)
    bodies = [b"[]", b"{", json.dumps(half).encode(), json.dumps(wrong).encode()]
    places = [[part] * 5, [org, "app", part, part, part]]
    assert bench.forge is not None
    routes = bench.forge.offered
    headers = {"authorization": f"token {bench.secret}", "content-type": "application/json"}
    base = f"{bench.admin.url}/api/v1"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        for (method, path), place in itertools.product(routes, places):
            there = path
            for one in place:
                there = there.replace("{}", one, 1)
            for body in bodies if method in {"POST", "PATCH"} else [None]:
                if method == "DELETE" and org in there:
                    continue
                answer = await client.request(method, there, content=body)
                assert answer.status_code < 500 or answer.status_code == 501, (method, there, body)


def quarantines(forge: Path) -> list[Path]:
    """Give where git keeps what pushes have sent so far; it looks into none, for they vanish."""
    return list(forge.glob("*.git/objects/tmp_objdir*"))


@promise("F6")
async def test_a_push_that_breaks_off_leaves_the_repository_as_it_was(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    url = await bench.repository(org)
    work = await alice.git.clone(url)
    (work / "big").write_bytes(os.urandom(20 << 20))
    await alice.git("add", "big", cwd=work)
    await alice.git("commit", "-q", "-m", "big", cwd=work)
    before = await alice.git("ls-remote", "origin", cwd=work)
    git = await asyncio.create_subprocess_exec(
        "git", "push", "origin", "main", cwd=work, env={"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    place = bench.home / "state" / "forge"
    async with asyncio.timeout(20):
        while not quarantines(place) and git.returncode is None:  # noqa: ASYNC110 - the forge tells nobody
            await asyncio.sleep(0.005)
    if git.returncode is None:
        os.killpg(git.pid, 9)
    await git.wait()
    async with asyncio.timeout(20):
        while quarantines(place):  # noqa: ASYNC110 - the forge tells nobody
            await asyncio.sleep(0.01)
    if git.returncode != 0:
        assert await alice.git("ls-remote", "origin", cwd=work) == before
    await alice.git("push", "-q", "origin", "main", cwd=work)
    assert ((await alice.git.clone(url, "again")) / "big").stat().st_size == 20 << 20


def begun_clone(git: Git, url: str, commit: str) -> bytes:
    """Write the request by which git fetches a commit, to be read or not."""
    there = urlsplit(url)
    words = [f"want {commit} no-progress\n", "", "done\n"]
    body = "".join(f"{len(word) + 4:04x}{word}" if word else "0000" for word in words)
    known = base64.b64encode(f"{git.user}:{git.token}".encode()).decode()
    return (
        f"POST {there.path}/git-upload-pack HTTP/1.1\r\nhost: x\r\nauthorization: Basic {known}\r\n"
        "content-type: application/x-git-upload-pack-request\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def cut_off(writer: asyncio.StreamWriter) -> None:
    """End a connection without a word."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_who_fetches_and_does_not_read_keeps_only_their_own_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_http, "TRANSFERS_MAX", 2)
    monkeypatch.setattr(git_http, "TRANSFERS_EACH", 1)
    async with an_embedded_forge(tmp_path) as bench, AsyncExitStack() as opened:
        alice, bob = await bench.person("alice"), await bench.person("bob")
        hers, his = await bench.org(alice, name="hers"), await bench.org(bob, name="his")
        url, other = await bench.repository(hers), await bench.repository(his)
        work = await alice.git.clone(url)
        (work / "big").write_bytes(os.urandom(12 << 20))
        await alice.git("add", "big", cwd=work)
        await alice.git("commit", "-q", "-m", "big", cwd=work)
        await alice.git("push", "-q", "origin", "main", cwd=work)
        commit = (await alice.git("rev-parse", "HEAD", cwd=work)).strip()
        there, begun = urlsplit(url), []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(there.hostname, there.port, limit=1024)
            opened.push_async_callback(cut_off, writer)
            writer.write(begun_clone(alice.git, url, commit))
            begun.append(asyncio.create_task(reader.readline()))
        done, _ = await asyncio.wait(begun, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert [b"200" in await each for each in done] == [True]

        assert await bob.client.repository(his, "app") is not None
        assert (await bob.git.clone(other) / "README.md").exists()
        for task in begun:
            task.cancel()


async def test_who_has_gone_keeps_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_http, "TRANSFERS_EACH", 1)
    real = GitPrograms.backend

    async def endless(*_: object) -> asyncio.subprocess.Process:
        monkeypatch.setattr(GitPrograms, "backend", real)
        return await asyncio.create_subprocess_exec(
            "sh", "-c", "echo Content-Type: text/plain; echo; exec sleep 1000",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    async with an_embedded_forge(tmp_path) as bench:
        alice = await bench.person("alice")
        url = await bench.repository(await bench.org(alice))
        monkeypatch.setattr(GitPrograms, "backend", endless)
        there = urlsplit(url)
        reader, writer = await asyncio.open_connection(there.hostname, there.port)
        writer.write(begun_clone(alice.git, url, "1" * 40))
        assert b"200" in await reader.readline()
        await cut_off(writer)

        assert (await alice.git.clone(url) / "README.md").exists()


async def test_many_clones_at_once_all_arrive(bench: Bench) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    url = await bench.repository(org)
    clones = (alice.git.clone(url, f"work-{number}") for number in range(CLONES))
    for work in await asyncio.gather(*clones):
        assert (work / "README.md").exists()


@promise("F6")
async def test_a_crash_between_git_and_the_database_is_settled_at_the_next_start(
    bench: Bench,
) -> None:
    alice = await bench.person("alice")
    org = await bench.org(alice)
    work = await alice.git.clone(await bench.repository(org))
    for branch in ("moved", "merged"):
        await alice.git("checkout", "-q", "main", cwd=work)
        await alice.git.commit(work, f"{branch}.txt", "1", branch)
        await alice.git("push", "-q", "origin", branch, cwd=work)
        await alice.client.open_pull(org, "app", NewPull(branch, "main", branch))
    [bare] = (bench.home / "state" / "forge").glob("*.git")
    await alice.git("-C", str(bare), "update-ref", "refs/heads/main", "refs/heads/merged")
    await alice.git.commit(work, "more.txt", "2", "more")
    await alice.git("push", "-q", "origin", "more", cwd=work)
    await alice.git("-C", str(bare), "update-ref", "refs/heads/moved", "refs/heads/more")
    assert bench.forge is not None
    await bench.forge.begin(bench.admin.url)
    moved, merged = [await alice.client.pull(org, "app", number) for number in (1, 2)]
    assert (moved.state, merged.state) == (PullState.OPEN, PullState.MERGED)
    assert moved.head_commit == (await alice.git("rev-parse", "HEAD", cwd=work)).strip()
