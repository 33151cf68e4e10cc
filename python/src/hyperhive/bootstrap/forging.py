"""The part of a server that has to do with the forge: the embedded one is served, or a real one is
spoken to; it is provisioned, its docs are checked out, its pull requests followed.

All of it runs beside the hive and none of it holds the hive up.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hyperhive.bootstrap.declaring import Declaring
from hyperhive.config import ForgeKind, Hive, RuntimeKind
from hyperhive.domain import confinement
from hyperhive.domain.errors import HiveError, UnavailableError
from hyperhive.domain.forge_plan import ADMINISTRATOR, SYSTEM_ACCOUNT
from hyperhive.domain.forge_port import Forge
from hyperhive.domain.paths import HivePaths
from hyperhive.forge.box_files import BoxFiles, Owner, mail_of
from hyperhive.forge.docs import DocsCheckout
from hyperhive.forge.embedded import git
from hyperhive.forge.embedded.server import EmbeddedForge
from hyperhive.forge.git import authorization
from hyperhive.forge.hooks import HookApp, mark_of
from hyperhive.forge.mirrors import Mirrors
from hyperhive.forge.provision import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    Hooked,
    Provisioner,
    write_secret,
)
from hyperhive.forge.seeding import seed
from hyperhive.forge.watching import Watcher
from hyperhive.runtimes.users import User
from hyperhive.services.agents import Agents
from hyperhive.services.forge import ForgeDesk
from hyperhive.services.pulls import Pulls
from hyperhive.store import Store
from hyperhive.surfaces.listeners import Listeners

LOOPBACK: Final = "127.0.0.1"
EAR: Final = "127.0.77.1"
"""Where the forge tells the hive of what happens. An agent can give a repository of its own a
webhook: a forge that calls this address alone reaches nothing else that listens on loopback."""

Connect = Callable[[str, Callable[[], str]], Forge]
"""Makes a client of an address, and of what gives the token whenever one is needed."""
Start = Callable[[Coroutine[Any, Any, None], str], None]
"""Runs something under a name until the hive stops."""


@dataclass(frozen=True, slots=True)
class Forging:
    """What the forge's part of a server needs of the rest, and what the rest asks of it."""

    store: Store
    agents: Agents
    desk: ForgeDesk
    pulls: Pulls
    listeners: Listeners
    declaring: Declaring
    user: User | None

    async def begin(self, stack: AsyncExitStack, start: Start, connect: Connect) -> None:
        """Begin to keep the forge as it is declared; ``start`` runs what goes on until the end.

        What keeps it from beginning, such as a token that cannot be read, is an alert, and it is
        tried again.
        """
        if not await self._tried(stack, start, connect):
            start(self._retry(stack, start, connect), "forge begins")

    async def _retry(self, stack: AsyncExitStack, start: Start, connect: Connect) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            await asyncio.sleep(wait)
            if await self._tried(stack, start, connect):
                return
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _tried(self, stack: AsyncExitStack, start: Start, connect: Connect) -> bool:
        try:
            await self._begin(stack, start, connect)
        except (HiveError, OSError) as error:
            said = f"The forge cannot be used: {error} Agents run without it meanwhile."
            await self.desk.note("unreachable", said)
            return False
        return True

    async def _begin(self, stack: AsyncExitStack, start: Start, connect: Connect) -> None:
        hive = self.agents.hive
        paths = HivePaths(hive.state_dir, hive.run_dir)
        own = hive.state_dir / "forge-accounts"
        url, token = await self._reach(stack, hive)
        forge = connect(url, token)
        stack.push_async_callback(forge.close)
        shown = (hive.forge.url or url).rstrip("/")
        # Before any agent is told what to do: its prompt names the forge.
        self.desk.url = shown
        system_token = own / "token"

        def docs_name() -> str:
            named = self.agents.hive.forge.docs
            return f"{named.org}/{named.repository}"

        async def seed_docs(org: str, repository: str) -> None:
            me = (await forge.me()).name
            where = f"{url}/{org}/{repository}.git"
            known = authorization(me, await asyncio.to_thread(token))
            await seed(self.agents.hive.forge.docs.seed_directory, where, known)

        checkout = DocsCheckout(
            self.store,
            paths.docs,
            hive.state_dir / "docs.git",
            lambda: f"{url}/{docs_name()}.git",
            lambda: _header(system_token),
            is_told=await asyncio.to_thread(_is_here, url),
        )
        watcher = Watcher(
            self.store,
            forge,
            self.pulls,
            docs_name,
            checkout.wake,
            self.desk.note_repositories,
        )
        mirrors = Mirrors(self.store, paths, forge, url, token, self.desk.is_usable)
        hooked = await self._listen(own / "hook-secret", watcher)
        provisioner = Provisioner(
            self.store,
            self.agents,
            self.desk,
            forge,
            BoxFiles(paths, self._owner, self._inside),
            system_token,
            agents_url=shown,
            seed=seed_docs,
            hook=hooked,
        )

        def ready() -> None:
            checkout.wake()
            watcher.wake()
            mirrors.wake()

        provisioner.when_ready = ready
        start(provisioner.run(), "forge")
        start(checkout.run(), "docs")
        start(watcher.run(), "pull requests")
        start(mirrors.run(), "mirrors")
        self.declaring.plan_forge = provisioner.preview

    async def _reach(self, stack: AsyncExitStack, hive: Hive) -> tuple[str, Callable[[], str]]:
        """Give the forge's address and an administrator's token; serve the embedded one first."""
        if hive.forge.kind is ForgeKind.FORGEJO:
            assert hive.forge.url is not None
            assert hive.forge.token_file is not None
            token_file = hive.forge.token_file
            await asyncio.to_thread(_read_token, token_file)
            return hive.forge.url.rstrip("/"), lambda: _read_token(token_file)
        if (fault := await asyncio.to_thread(git.fault)) is not None:
            raise UnavailableError(fault, "Install one, or set forge.kind.")
        embedded = EmbeddedForge(self.store)
        stack.push_async_callback(embedded.close)
        address, port = await self._serve(hive, embedded)
        shown = f"[{address}]" if ":" in address else address
        url = f"http://{shown}:{port}"
        await embedded.begin(hive.forge.url or url)
        granted = await embedded.grant_admin(ADMINISTRATOR, mail_of(ADMINISTRATOR))
        return url, lambda: granted

    async def _serve(self, hive: Hive, app: object) -> tuple[str, int]:
        """Listen where the declaration says, or at the port of the last time, or at a free one."""
        listen = partial(self.listeners.open_tcp, patient=True)
        if hive.forge.url is not None:
            parts = urlsplit(hive.forge.url)
            return await listen(parts.hostname or LOOPBACK, parts.port or 80, app)
        remembered = hive.state_dir / "forge-accounts" / "port"
        try:
            text = await asyncio.to_thread(remembered.read_text, encoding="ascii")
            return await listen(LOOPBACK, int(text), app)
        except (OSError, ValueError, OverflowError):
            address, port = await listen(LOOPBACK, 0, app)
        # Clones of agents name the port: the next server takes it again.
        await asyncio.to_thread(write_secret, remembered, str(port))
        return address, port

    async def _listen(self, kept: Path, watcher: Watcher) -> Hooked:
        """Open the listener that only the forge has a secret for."""
        secret = await asyncio.to_thread(_kept_secret, kept)
        app = HookApp(secret, watcher.hear)
        address, port = await self.listeners.open_tcp(EAR, 0, app)
        mark = mark_of(secret)
        return Hooked(f"http://{address}:{port}{mark}", mark, secret)

    def _owner(self, name: str) -> Owner | None:
        agent = self.agents.hive.agents.get(name)
        if agent is None or agent.runtime is not RuntimeKind.BUBBLEWRAP or self.user is None:
            return None
        return (self.user.uid, self.user.gid) if self.user.dropped_to else None

    def _inside(self, name: str) -> Path:
        agent = self.agents.hive.agents.get(name)
        if agent is None or agent.runtime is RuntimeKind.PROCESS:
            return HivePaths(self.agents.hive.state_dir, self.agents.hive.run_dir).run(name)
        return confinement.RUN


def _is_here(url: str) -> bool:
    """Say whether an address is this machine's: only from here a forge reaches `EAR`."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            urlsplit(url).hostname, 0, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as trial:
            trial.bind(where)
    except (OSError, UnicodeError):
        return False
    return True


def _read_token(path: Path) -> str:
    """Read a token that somebody else may make anew at any time."""
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"The forge's token cannot be read: {error}.", "See forge.tokenFile."
        ) from error
    if not found.isascii() or not found.isprintable() or not found:
        raise UnavailableError(f"{path} holds no token.", "See forge.tokenFile.")
    return found


def _header(token: Path) -> str | None:
    try:
        return authorization(SYSTEM_ACCOUNT, token.read_text(encoding="utf-8").strip())
    except OSError:
        return None


def _kept_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        write_secret(path, secrets.token_urlsafe(32))
        return path.read_text(encoding="ascii").strip()
