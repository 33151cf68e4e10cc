"""What an agent's box knows of the forge: its token, git's settings, where the forge is.

They are files in the directory that the box sees as ``/run/hyperhive``, made for whoever the box
runs as. That directory may be that user's own, so it is opened once and without following a link,
and each file is made beside the one that it replaces.
"""

import json
import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hyperhive.domain.paths import FORGE_SETTINGS, FORGE_TOKEN, GIT_CONFIG, HivePaths

MAIL_DOMAIN: Final = "hyperhive.invalid"
"""The domain of every address that the hive makes up; it can be nobody's."""

Owner = tuple[int, int]
"""The numbers of a user and its group."""


def mail_of(account: str) -> str:
    """Give the address under which an account commits."""
    return f"{account}@{MAIL_DOMAIN}"


class BoxFiles:
    """Writes and reads those files.

    ``owner`` says whom an agent's box runs as, where that is not the server's own user; ``inside``
    says what the box calls the directory of an agent.
    """

    def __init__(
        self,
        paths: HivePaths,
        owner: Callable[[str], Owner | None] = lambda _: None,
        inside: Callable[[str], Path] | None = None,
    ) -> None:
        self._paths = paths
        self._owner = owner
        self._inside = inside or paths.run

    def token(self, agent: str) -> str | None:
        """Read an agent's token, if it has one."""
        try:
            directory = self._open(agent)
        except OSError:
            return None
        try:
            return _read(directory, FORGE_TOKEN)
        finally:
            os.close(directory)

    def give(self, agent: str, token: str) -> None:
        """Put a token where its agent finds it."""
        self._put(agent, {FORGE_TOKEN: (token + "\n", 0o600)})

    def settle(self, agent: str, url: str) -> None:
        """Tell an agent's git and tools where the forge is, as far as they do not know."""
        told = {"url": url, "user": agent, "token_file": str(self._inside(agent) / FORGE_TOKEN)}
        wanted = {
            GIT_CONFIG: git_config(agent, url, self._inside(agent) / FORGE_TOKEN),
            FORGE_SETTINGS: json.dumps(told, indent=2) + "\n",
        }
        directory = self._open(agent)
        try:
            changed = {
                name: (text, 0o644)
                for name, text in wanted.items()
                if _read(directory, name) != text.strip()
            }
        finally:
            os.close(directory)
        if changed:
            self._put(agent, changed)

    def remove(self, agent: str) -> None:
        """Take everything away again."""
        with suppress(OSError):
            directory = self._open(agent)
            try:
                for name in (FORGE_TOKEN, FORGE_SETTINGS, GIT_CONFIG):
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)

    def _put(self, agent: str, files: dict[str, tuple[str, int]]) -> None:
        directory = self._open(agent, make=True)
        owner = self._owner(agent)
        try:
            for name, (text, mode) in files.items():
                fresh = f".{name}.new"
                with suppress(FileNotFoundError):
                    os.unlink(fresh, dir_fd=directory)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(fresh, flags, mode, dir_fd=directory)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fchmod(descriptor, mode)
                    if owner is not None:
                        os.fchown(descriptor, *owner)
                    os.fsync(descriptor)
                os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            os.close(directory)

    def _open(self, agent: str, *, make: bool = False) -> int:
        place = self._paths.run(agent)
        if make and not place.is_dir():
            place.mkdir(mode=0o700, parents=True)
            owner = self._owner(agent)
            if owner is not None:
                os.chown(place, *owner, follow_symlinks=False)
        return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def git_config(agent: str, url: str, token_file: Path) -> str:
    """Write git's settings of an agent: who it is, and a helper that reads the token's file.

    They are git's *system* settings in the box, so the agent's own come after them and win. The
    empty helper forgets those of the host, which might keep the token somewhere else.
    """
    read = f"cat {shlex.quote(str(token_file))}"
    helper = (
        f"!f() {{ test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' "
        f'{shlex.quote(agent)} "$({read})"; }}; f'
    )
    return "\n".join(
        (
            "# Written by the hive. Settings of your own belong into ~/.gitconfig.",
            "[include]",
            "\tpath = /etc/gitconfig",
            "[user]",
            f"\tname = {_quoted(agent)}",
            f"\temail = {_quoted(mail_of(agent))}",
            "[init]",
            "\tdefaultBranch = main",
            "[push]",
            "\tdefault = current",
            "\tautoSetupRemote = true",
            "[pull]",
            "\trebase = false",
            f"[credential {_quoted(url)}]",
            "\thelper =",
            f"\thelper = {_quoted(helper)}",
            f"[url {_quoted(url + '/')}]",
            '\tinsteadOf = "hive:"',
            "",
        )
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _read(directory: int, name: str) -> str | None:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with os.fdopen(os.open(name, flags, dir_fd=directory), encoding="utf-8") as file:
            return file.read(65_536).strip() or None
    except (OSError, UnicodeDecodeError):
        return None
