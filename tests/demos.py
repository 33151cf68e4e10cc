"""The demo as its users run it: a command, also as an ordinary user with boxes of his own.

As root, with no user to drop to or a Python that he could not read, an ordinary user of the tests
plays it, with a Python of the system's that finds the packages of the tests' own.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
from tests.walls import SOURCES, SYSTEM_PYTHON, TEST_USERS

SECONDS = 180
_PACKAGES = Path(pydantic.__file__).parent.parent
_TRIAL = """
import hyperhive.bootstrap
from hyperhive.runtimes.bubblewrap import BubblewrapRuntime
print(BubblewrapRuntime.fault() or "")
"""


@dataclass(frozen=True)
class Player:
    """Who plays the demo: a Python, and a user if it is not the tests' own."""

    python: str = sys.executable
    user: str | None = None

    def run(
        self, *command: str, place: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command whose temporary files go to ``place``."""
        more = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(place)} if self.user else {}
        if self.user is not None:
            os.chown(place, pwd.getpwnam(self.user).pw_uid, -1)
        return subprocess.run(
            command,
            cwd="/",
            env={**os.environ, "TMPDIR": str(place), **more, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            user=self.user,
            group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
            extra_groups=None if self.user is None else [],
        )

    def play(
        self, *options: str, place: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Play it through."""
        command = (self.python, "-m", "hyperhive.cli.main", "demo", "--headless")
        return self.run(*command, *options, place=place, variables=variables)


def boxed_player(directory: Path) -> Player:
    """Give one whose agents can be in boxes, or skip; ``directory`` is open to everyone."""
    fault = BubblewrapRuntime.fault()
    if fault is None:
        return Player()
    users = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in TEST_USERS if name in users), None)
    if os.geteuid() != 0 or user is None:
        pytest.skip(fault)
    home, place = directory / "python", directory / "trial"
    made = subprocess.run(
        [SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"{fault} {SYSTEM_PYTHON} makes no environment: {made.stderr.strip()[-200:]}")
    (packages,) = home.glob("lib/python3.*/site-packages")
    (packages / "tests.pth").write_text(f"{SOURCES}\n{_PACKAGES}\n")
    player = Player(str(home / "bin" / "python"), user)
    place.mkdir()
    tried = player.run(player.python, "-c", _TRIAL, place=place)
    if tried.returncode != 0 or tried.stdout.strip():
        said = (tried.stdout or tried.stderr).strip()[-200:]
        pytest.skip(f"{user} makes no boxes with {SYSTEM_PYTHON}: {said}")
    return player


def left_over(place: Path) -> list[int]:
    """Find processes that still belong to a hive in ``place``."""
    mark = str(place).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                is_ours = mark in (entry / "environ").read_bytes()
            except OSError:
                continue
            if is_ours:
                found.append(int(entry.name))
    return found
