"""The forges that one suite is run on: the embedded one, and a real Forgejo where there is one.

A real one is used where ``HYPERHIVE_FORGEJO_URL`` and ``HYPERHIVE_FORGEJO_TOKEN`` (a site
administrator's, with scope ``all``) are set, or where a ``forgejo`` is in ``PATH``: that one is
started for the tests. Every test works under names of its own, so one instance serves them all,
however often.
"""

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from hyperhive.bus import Bus
from hyperhive.domain.forge import Access, NewUser, Org, RepositoryShape, Scope, Team, TeamShape
from hyperhive.forge.client import ForgeClient
from hyperhive.forge.embedded import EmbeddedForge
from hyperhive.store import Store
from hyperhive.surfaces.listeners import Listeners
from tests.contract import forgejo

URL: Final = "HYPERHIVE_FORGEJO_URL"
TOKEN: Final = "HYPERHIVE_FORGEJO_TOKEN"
PATIENCE_SECONDS: Final = 20.0
WORKING: Final = (
    Scope.WRITE_REPOSITORY,
    Scope.WRITE_ISSUE,
    Scope.READ_USER,
    Scope.WRITE_ORGANIZATION,
)
"""What an agent needs; making a repository in an organisation takes the last one."""


@dataclass(slots=True)
class Git:
    """A person's git on a machine of their own: a token, and nobody else's configuration."""

    home: Path
    user: str
    token: str

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run git and give what it said."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": self.user,
            "GIT_AUTHOR_EMAIL": f"{self.user}@example.org",
            "GIT_COMMITTER_NAME": self.user,
            "GIT_COMMITTER_EMAIL": f"{self.user}@example.org",
        }
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    async def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git, which must succeed."""
        done = await asyncio.to_thread(self.run, *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    async def fails(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git, which must fail, and give what it said."""
        done = await asyncio.to_thread(self.run, *arguments, cwd=cwd)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def address(self, clone_url: str) -> str:
        """Put the credentials where only a test may put them."""
        there = urlsplit(clone_url)
        return f"{there.scheme}://{self.user}:{self.token}@{there.netloc}{there.path}"

    async def clone(self, clone_url: str, name: str = "work") -> Path:
        """Clone a repository."""
        await self("clone", "-q", self.address(clone_url), name)
        return self.home / name

    async def commit(self, work: Path, file: str, text: str, branch: str | None = None) -> None:
        """Commit one file, on a new branch if one is named."""
        if branch is not None:
            await self("checkout", "-q", "-b", branch, cwd=work)
        (work / file).write_text(text)
        await self("add", "--all", cwd=work)
        await self("commit", "-q", "-m", f"change {file}", cwd=work)


@dataclass(slots=True)
class Person:
    """An account with its token, its client and its git."""

    name: str
    client: ForgeClient
    git: Git


@dataclass(slots=True)
class Bench:
    """A forge, its administrator, and people to try it with."""

    kind: str
    admin: ForgeClient
    home: Path
    clone_base: str
    secret: str = field(repr=False)
    forge: EmbeddedForge | None = None
    tag: str = field(default_factory=lambda: secrets.token_hex(3))
    people: list[Person] = field(default_factory=list)

    def called(self, name: str) -> str:
        """Make a name that no other test uses."""
        return f"{name}-{self.tag}"

    async def person(self, name: str, scopes: tuple[Scope, ...] = WORKING) -> Person:
        """Make an account with a token."""
        called = self.called(name)
        await self.admin.create_user(NewUser(called, f"{called}@example.org", name.title()))
        token = await self.admin.create_token(called, "git", scopes)
        home = self.home / called
        home.mkdir()
        person = Person(
            called, self.admin.speaking_as(token.secret), Git(home, called, token.secret)
        )
        self.people.append(person)
        return person

    async def org(self, *members: Person, name: str = "acme", access: Access = Access.WRITE) -> str:
        """Make an organisation whose one further team these people are in."""
        called = self.called(name)
        await self.admin.create_org(Org(called, "for a test"))
        await self.team(called, *members, access=access)
        return called

    async def team(
        self, org: str, *members: Person, name: str = "devs", access: Access = Access.WRITE
    ) -> Team:
        """Make a team with these people in it; who writes may make repositories."""
        shape = TeamShape(name, access, may_create_repositories=access is not Access.READ)
        team = await self.admin.create_team(org, shape)
        for member in members:
            await self.admin.add_member(team.id, member.name)
        return team

    async def repository(self, org: str, name: str = "app") -> str:
        """Make a repository with a first commit and give where to clone it from."""
        made = await self.admin.create_repository(org, RepositoryShape(name, auto_init=True))
        return made.clone_url


@asynccontextmanager
async def an_embedded_forge(
    home: Path, *, tries: tuple[float, ...] = (0.0, 0.05, 0.1)
) -> AsyncIterator[Bench]:
    """Serve an embedded forge on a free port."""
    store = await Store.open(home / "state", Bus())
    forge, listeners = EmbeddedForge(store, tries=tries), Listeners(home / "run")
    address, port = await listeners.open_tcp("127.0.0.1", 0, forge, patient=True)
    url = f"http://{address}:{port}"
    await forge.begin(url)
    secret = await forge.grant_admin("hive", "hive@example.org")
    admin = ForgeClient(url, secret)
    bench = Bench("embedded", admin, home, url, secret, forge)
    try:
        yield bench
    finally:
        for client in (admin, *(person.client for person in bench.people)):
            await client.close()
        await forge.close()
        await listeners.close()
        await store.close()


async def real_one() -> tuple[str, str]:
    """Give address and token of the Forgejo that the environment names, or of one that starts."""
    url, token = os.environ.get(URL, ""), os.environ.get(TOKEN, "")
    if url and token:
        return url, token
    program = shutil.which("forgejo")
    if program is None:
        pytest.skip(f"a real Forgejo is asked when it is in PATH, or {URL} and {TOKEN} name it")
    return await asyncio.to_thread(forgejo.running, program)


@asynccontextmanager
async def a_real_forge(home: Path) -> AsyncIterator[Bench]:
    """Speak to a real Forgejo."""
    url, token = await real_one()
    admin = ForgeClient(url, token)
    bench = Bench("forgejo", admin, home, url, token)
    try:
        yield bench
    finally:
        for client in (admin, *(person.client for person in bench.people)):
            await client.close()


FORGES: Final = {"embedded": an_embedded_forge, "forgejo": a_real_forge}


class Ear:
    """Hears what a forge posts to a webhook."""

    def __init__(self, *, failures: int = 0) -> None:
        self.heard: list[tuple[Mapping[str, str], bytes]] = []
        self.url = ""
        self._failures = failures
        self._something = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one delivery."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status = 200
        if self._failures:
            self._failures -= 1
            status = 503
        else:
            self.heard.append((headers, body))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        self._something.set()

    async def wait(self, event: str, action: str | None = None) -> Mapping[str, Any]:
        """Wait until an event was heard, and give what was told; its signature must be there."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for headers, body in self.heard:
                    told: Mapping[str, Any] = json.loads(body)
                    if headers["x-gitea-event"] == event and action in (None, told.get("action")):
                        assert headers["x-gitea-delivery"]
                        return {**told, "signature": headers["x-gitea-signature"], "raw": body}
                self._something.clear()
                await self._something.wait()


def signature(secret: str, body: bytes) -> str:
    """Say what a delivery must be signed with."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@asynccontextmanager
async def an_ear(home: Path, *, failures: int = 0) -> AsyncIterator[Ear]:
    """Listen for webhooks."""
    ear, listeners = Ear(failures=failures), Listeners(home / "ear")
    address, port = await listeners.open_tcp("127.0.0.1", 0, ear)
    ear.url = f"http://{address}:{port}/hook"
    try:
        yield ear
    finally:
        await listeners.close()
