"""A whole server with the embedded forge, and real git as each agent: what works and what not."""

import asyncio
import json
import os
import re
import secrets
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hyperhive import bootstrap, config
from hyperhive.bootstrap import Running
from hyperhive.bus import LIFECYCLE
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.forge import Org
from hyperhive.domain.forge_plan import CONFIGS_ORG
from hyperhive.domain.paths import HivePaths
from hyperhive.forge.client import ForgeClient
from hyperhive.forge.mirrors import ALERT, LOOKS_BEFORE_ALL, Mirrors
from hyperhive.git.repositories import GitRepositories
from hyperhive.store import alerts, spawned
from tests.builders import a_hive, a_store
from tests.contract.forges import Git, an_embedded_forge, real_one
from tests.pace import on_this_machine
from tests.surfaces.hives import until

pytestmark = pytest.mark.anyio


@dataclass
class Village:
    """A hive whose forge is ready, and its agents' hands."""

    run: Running
    directory: Path

    @property
    def url(self) -> str:
        assert self.run.forge.url is not None
        return self.run.forge.url

    def token(self, agent: str) -> str:
        return (self.run.hive.run_dir / "agents" / agent / "forge-token").read_text().strip()

    async def git(self, agent: str, *arguments: str, place: str = "") -> tuple[int, str]:
        """Run git in a box of runtime `process`; give its status and all that it said."""
        home = self.directory / "homes" / agent
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_SYSTEM": str(self.run.hive.run_dir / "agents" / agent / "gitconfig"),
        }
        done = await asyncio.to_thread(
            subprocess.run,
            ["git", *arguments],
            cwd=home / place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    async def must(self, agent: str, *arguments: str, place: str = "") -> str:
        status, said = await self.git(agent, *arguments, place=place)
        assert status == 0, said
        return said

    async def api(
        self,
        agent: str,
        method: str,
        path: str,
        told: Any = None,
        *,
        token: str | None = None,
        by: tuple[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Ask the forge's API as an agent does, by hand; or ``by`` name and password."""
        body = None if told is None else json.dumps(told).encode()
        known = f"Basic {b64encode(':'.join(by).encode()).decode()}" if by else ""
        headers = {"Authorization": known or f"token {token or self.token(agent)}"}
        request = Request(f"{self.url}/api/v1{path}", body, headers, method=method)
        request.add_header("Content-Type", "application/json")

        def ask() -> tuple[int, Any]:
            try:
                with urlopen(request, timeout=30) as answer:
                    text = answer.read()
                    return answer.status, json.loads(text) if text else None
            except HTTPError as error:
                with error:
                    return error.code, error.read()

        return await asyncio.to_thread(ask)

    def commit(self, agent: str, place: str, name: str, text: str) -> None:
        (self.directory / "homes" / agent / place / name).write_text(text)

    async def push(self, agent: str, place: str, branch: str, **files: str) -> tuple[int, str]:
        for name, text in files.items():
            self.commit(agent, place, name, text)
        await self.must(agent, "add", "--all", ".", place=place)
        await self.must(agent, "commit", "-q", "-m", "change", place=place)
        return await self.git(agent, "push", "-q", "origin", f"HEAD:{branch}", place=place)

    async def proposed(self, agent: str, place: str) -> str:
        """Make a repository with a pull request, by hand; give its name."""
        name = f"tool-{secrets.token_hex(3)}"
        made = {"name": name, "private": True, "default_branch": "main"}
        assert (await self.api(agent, "POST", "/orgs/org-everyone/repos", made))[0] == 201
        await self.must(agent, "clone", "-q", f"hive:org-everyone/{name}", place)
        assert (await self.push(agent, place, "main", a="1"))[0] == 0
        await self.must(agent, "checkout", "-q", "-b", "better", place=place)
        assert (await self.push(agent, place, "better", a="2"))[0] == 0
        pull = {"title": "Better", "head": "better", "base": "main"}
        assert (await self.api(agent, "POST", f"/repos/org-everyone/{name}/pulls", pull))[0] == 201
        return name

    async def may_merge(self, pulls: str) -> bool:
        """Say whether the forge has found out that the first pull request merges."""
        return bool((await self.api("bob", "GET", f"{pulls}/1"))[1]["mergeable"])

    async def told(self, agent: str) -> list[str]:
        page = await self.run.messages.page(before=None, limit=100, agent=agent, state=None)
        return [each["preview"] for each in page["messages"] if each["to"] == agent]


@asynccontextmanager
async def a_village(directory: Path, run_dir: Path, **settings: Any) -> AsyncIterator[Village]:
    forge = {"kind": "embedded", **settings.pop("forge", {})}
    hive = a_hive(directory, run_dir, hive={"forge": forge}, **settings)
    async with bootstrap.running(hive, with_agents=False, forge=ForgeClient) as run:
        await until(lambda: run.forge.state == "ready")
        yield Village(run, directory)


@pytest.fixture
def told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the docs from being looked at by the clock: what follows a push was told of it."""
    monkeypatch.setattr("hyperhive.forge.docs.POLL_SECONDS", 3600.0)


@pytest.fixture(params=["embedded", "forgejo"])
async def village(
    request: pytest.FixtureRequest, tmp_path: Path, told_alone: None
) -> AsyncIterator[Village]:
    forge = {}
    if request.param == "forgejo":
        url, token = await real_one()
        (tmp_path / "token").write_text(token)
        forge = {"kind": "forgejo", "url": url, "tokenFile": str(tmp_path / "token")}
    async with a_village(tmp_path / "state", tmp_path / "run", forge=forge) as made:
        yield made


async def test_an_agent_creates_clones_pushes_and_merges_on_the_first_try(
    village: Village,
) -> None:
    tool = await village.proposed("alice", "tool")
    here = f"/repos/org-everyone/{tool}/pulls"
    asked = {"reviewers": ["bob"]}
    await village.api("alice", "POST", f"{here}/1/requested_reviewers", asked)

    async def bob_is_asked() -> bool:
        return any("asks you to review" in words for words in await village.told("bob"))

    await until(bob_is_asked)
    review = {"event": "APPROVED", "body": "fine"}
    assert (await village.api("bob", "POST", f"{here}/1/reviews", review))[0] == 200
    await until(partial(village.may_merge, here))
    assert (await village.api("bob", "POST", f"{here}/1/merge", {"Do": "merge"}))[0] == 200

    async def alice_knows() -> bool:
        return any(words.startswith("bob merged") for words in await village.told("alice"))

    await until(alice_knows)
    await village.must("bob", "clone", "-q", f"hive:org-everyone/{tool}", "tool")
    assert (village.directory / "homes" / "bob" / "tool" / "a").read_text() == "2"
    config = (village.directory / "homes" / "alice" / "tool" / ".git" / "config").read_text()
    assert village.token("alice") not in config
    assert not re.search(r"//[^/\s]*@", config)


async def test_every_agent_reads_the_docs_and_only_the_manager_pushes(village: Village) -> None:
    page = village.directory / "docs" / "page.md"
    for worker in ("alice", "bob"):
        await village.must(worker, "clone", "-q", "hive:org-shared/docs")
        for branch in ("main", "other"):
            status, said = await village.push(worker, "docs", branch, **{f"{branch}.md": "x"})
            assert status != 0, said
    await village.must("queen", "clone", "-q", "hive:org-shared/docs")
    assert (await village.push("queen", "docs", "main", **{"page.md": "for all"}))[0] == 0
    async with asyncio.timeout(on_this_machine(5.0)):
        await until(page.exists)
    assert page.read_text() == "for all"


async def test_other_docs_that_are_declared_follow_their_pushes_at_once(
    tmp_path: Path, told_alone: None
) -> None:
    async with a_village(tmp_path / "state", tmp_path / "run") as village:
        forge = {"kind": "embedded", "docs": {"repository": "manual"}}
        hive = a_hive(tmp_path / "state", tmp_path / "run", hive={"forge": forge})
        await village.run.agents.declare(hive)
        await village.run.store.write(lambda work: work.wake(LIFECYCLE))

        async def is_seeded() -> bool:
            status, said = await village.git("queen", "ls-remote", "hive:org-shared/manual")
            return status == 0 and said != ""

        await until(is_seeded)
        await village.must("queen", "clone", "-q", "hive:org-shared/manual")
        assert (await village.push("queen", "manual", "main", **{"page.md": "for all"}))[0] == 0
        await until((village.directory / "docs" / "page.md").exists)


async def test_nobody_reaches_what_is_not_theirs(tmp_path: Path) -> None:
    orgs = {"closed": {"teams": {"core": {"members": ["alice"]}}}}
    async with a_village(tmp_path / "state", tmp_path / "run", forge={"orgs": orgs}) as village:
        given = await village.run.forge.new_password(THE_OPERATOR, via="test")
        made = {"name": "plan", "private": True, "default_branch": "main"}
        by = (given["account"], given["password"])
        assert (await village.api("operator", "POST", "/orgs/closed/repos", made, by=by))[0] == 201
        await village.must("alice", "clone", "-q", "hive:closed/plan")
        for branch in ("main", "better"):
            assert (await village.push("alice", "plan", branch, a=branch))[0] == 0
        owner, pull = "/repos/closed/plan", {"title": "Better", "head": "better", "base": "main"}
        theirs = (owner, f"{owner}/pulls", f"{owner}/pulls/1", f"{owner}/branches")
        assert (await village.api("alice", "POST", f"{owner}/pulls", pull))[0] == 201
        for path in theirs:
            assert (await village.api("alice", "GET", path))[0] == 200, path
        for path in (
            "/admin/users",
            "/users/alice/tokens",
            *theirs,
            f"{owner}/pulls/1.diff",
            f"{owner}/issues/1/comments",
            "/orgs/closed/teams",
            "/orgs/closed/hooks",
        ):
            status, said = await village.api("bob", "GET", path)
            assert status in {401, 403, 404}, (path, status, said)
        for path, told in (
            (f"{owner}/pulls", pull),
            (f"{owner}/pulls/1/merge", {"Do": "merge"}),
            (f"{owner}/issues/1/comments", {"body": "hello"}),
            ("/orgs/closed/repos", {"name": "mine"}),
            ("/orgs/org-shared/repos", {"name": "mine"}),
            ("/admin/users", {"username": "evil", "email": "e@e.e", "password": "x" * 20}),
            ("/users/alice/tokens", {"name": "mine", "scopes": ["all"]}),
        ):
            status, said = await village.api("bob", "POST", path, told)
            assert status in {401, 403, 404}, (path, status, said)
        for address in ("hive:closed/plan", "hive:../../etc", "hive:closed/plan/../../org-shared"):
            status, _ = await village.git("bob", "clone", "-q", address, "taken")
            assert status != 0
        before = await village.must("alice", "ls-remote", "hive:closed/plan")
        await village.must("bob", "init", "-q", "-b", "main", "own")
        await village.must("bob", "remote", "add", "origin", "hive:closed/plan", place="own")
        assert (await village.push("bob", "own", "evil", a="mine"))[0] != 0
        assert await village.must("alice", "ls-remote", "hive:closed/plan") == before


async def test_a_rotated_token_works_at_once_and_the_old_one_never_again(
    village: Village,
) -> None:
    old = village.token("alice")
    await village.run.forge.rotate(THE_OPERATOR, "alice", via="test")
    assert village.token("alice") != old
    assert (await village.api("alice", "GET", "/user", token=old))[0] == 401
    await village.must("alice", "clone", "-q", "hive:org-shared/docs")


async def test_a_token_of_the_administrators_that_is_missing_is_an_alert_and_no_end(
    tmp_path: Path,
) -> None:
    forge = {"kind": "forgejo", "url": "http://127.0.0.1:1", "tokenFile": str(tmp_path / "none")}
    hive = a_hive(tmp_path / "state", tmp_path / "run", hive={"forge": forge})
    async with bootstrap.running(hive, with_agents=False, forge=ForgeClient) as run:
        state = await run.snapshots.state()
        assert state["forge"]["state"] == "unreachable"
        assert "forge.tokenFile" in state["alerts"][0]["text"]


async def test_the_next_server_finds_everything_and_serves_at_the_same_address(
    tmp_path: Path,
) -> None:
    async with a_village(tmp_path / "state", tmp_path / "run") as village:
        before = village.url, village.token("alice")
    async with a_village(tmp_path / "state", tmp_path / "run") as village:
        assert (village.url, village.token("alice")) == before
        await village.must("alice", "clone", "-q", "hive:org-shared/docs")


async def test_the_operator_gets_a_password_and_works_with_it(village: Village) -> None:
    given = await village.run.forge.new_password(THE_OPERATOR, via="test")
    there = given["url"].removeprefix("http://")
    address = f"http://{given['account']}:{given['password']}@{there}/org-shared/docs"
    assert (await village.git("operator", "clone", "-q", address))[0] == 0
    again = await village.run.forge.new_password(THE_OPERATOR, via="test")
    assert again["password"] != given["password"]
    assert (await village.git("operator", "clone", "-q", address, "again"))[0] != 0


async def test_repositories_are_listed_with_what_is_open(village: Village) -> None:
    tool = await village.proposed("alice", "tool")

    async def is_listed() -> bool:
        listed = (await village.run.forge.repositories())["repositories"]
        found = {each["name"]: each for each in listed}
        return (
            found.get(f"org-everyone/{tool}", {}).get("open_pulls") == 1
            and found["org-shared/docs"]["updated_at"] is not None
        )

    await until(is_listed)


async def test_what_runs_of_a_spawned_agent_is_mirrored_for_the_manager_to_read(
    tmp_path: Path,
) -> None:
    paths = HivePaths(tmp_path / "state", tmp_path / "run")
    async with a_store(paths.state_dir) as store:
        add = partial(
            spawned.add, name="carol", settings="{}", requester="queen", approval=1, revision="x"
        )
        await store.write(add)
    shelf = GitRepositories(paths)
    first = await shelf.seed("carol", {"agent.json": "{}"}, subject="Spawn", manager="queen")
    async with a_village(paths.state_dir, paths.run_dir) as village:
        copy = "hive:org-configs/carol"

        async def shown() -> str:
            status, said = await village.git("queen", "ls-remote", copy, "refs/heads/main")
            return said.split()[0] if status == 0 and said else ""

        async def is_there() -> bool:
            return await shown() == first

        await until(is_there)
        await village.must("queen", "clone", "-q", copy)
        assert (await village.push("queen", "carol", "main", mine="1"))[0] != 0
        assert (await village.git("alice", "clone", "-q", copy))[0] != 0
        token = village.token("queen")
        for file in (paths.applied_of("carol") / "config", paths.config("carol") / ".git/config"):
            assert "http" not in file.read_text()
            assert token not in file.read_text()


async def test_what_is_pushed_to_a_mirror_is_put_back(tmp_path: Path) -> None:
    paths = HivePaths(tmp_path / "state", tmp_path / "run")
    async with a_store(paths.state_dir) as store, an_embedded_forge(tmp_path / "forge") as bench:
        add = partial(
            spawned.add, name="carol", settings="{}", requester="queen", approval=1, revision="x"
        )
        await store.write(add)
        shelf = GitRepositories(paths)
        first = await shelf.seed("carol", {"agent.json": "{}"}, subject="Spawn", manager="queen")
        await bench.admin.create_org(Org(CONFIGS_ORG))
        url, secret = bench.admin.url, bench.secret
        mirrors = Mirrors(store, paths, bench.admin, url, lambda: secret)
        await mirrors.look()
        git = Git(tmp_path, "hive", secret)
        work = await git.clone(f"{url}/{CONFIGS_ORG}/carol.git")
        await git.commit(work, "mine", "1")
        await git("push", "-q", "origin", "HEAD:main", "HEAD:other", cwd=work)
        for _ in range(LOOKS_BEFORE_ALL):
            await mirrors.look()
        refs = (await git("ls-remote", "origin", cwd=work)).split()
        assert refs == [first, "HEAD", first, "refs/heads/main"]


async def test_what_cannot_be_mirrored_is_an_alert_until_it_can_and_holds_nothing_up(
    tmp_path: Path,
) -> None:
    paths = HivePaths(tmp_path / "state", tmp_path / "run")
    async with a_store(paths.state_dir) as store, an_embedded_forge(tmp_path / "forge") as bench:
        shelf = GitRepositories(paths)
        for name in ("carol", "dave"):
            add = partial(
                spawned.add, name=name, settings="{}", requester="queen", approval=1, revision="x"
            )
            await store.write(add)
            seeds = {"agent.json": "{}"}
            await shelf.seed(name, seeds, subject="Spawn", manager="queen")
        await bench.admin.create_org(Org(CONFIGS_ORG))
        head = paths.applied_of("carol") / "HEAD"
        kept = head.read_text()
        head.unlink()
        secret = bench.secret
        mirrors = Mirrors(store, paths, bench.admin, bench.admin.url, lambda: secret)

        await mirrors.look()
        said = await store.read(lambda asking: alerts.text_of(asking, ALERT))
        assert said is not None
        assert "carol: " in said
        assert "dave" not in said
        assert await bench.admin.repository(CONFIGS_ORG, "dave") is not None

        head.write_text(kept)
        await mirrors.look()
        assert await store.read(lambda asking: alerts.text_of(asking, ALERT)) is None
        assert await bench.admin.repository(CONFIGS_ORG, "carol") is not None


async def test_another_forge_holds_from_the_next_start_on_and_the_hive_says_so(
    tmp_path: Path,
) -> None:
    source = tmp_path / "hive.toml"
    text = (
        f'stateDir = "{tmp_path}/state"\nrunDir = "{tmp_path}/run"\noperator = {{ port = 0 }}\n'
        '[agents.queen]\nrole = "manager"\ndriver = { kind = "command", command = ["cat"] }\n'
    )
    source.write_text(text)
    async with bootstrap.running(config.load(source), source=source, with_agents=False) as run:
        source.write_text(f'{text}[forge]\nkind = "embedded"\n')
        await run.declaring.apply()
        [alert] = (await run.snapshots.state())["alerts"]
        assert alert["text"].startswith("forge.kind: holds from the server's next start on.")
    async with bootstrap.running(config.load(source), source=source, with_agents=False) as run:

        async def is_told_no_more() -> bool:
            return not (await run.snapshots.state())["alerts"]

        await until(is_told_no_more)
