"""Where the real agent programs are, and how they get there.

``python -m tests.clients.installing`` installs the pinned versions by npm into the user's cache;
CI does that first. The tests themselves install nothing: where the programs are missing, they
are skipped and say so. ``HYPERHIVE_TEST_CLIENTS`` names another directory that holds
``node_modules/.bin``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).parent / "package.json"
DIRECTORY_VARIABLE: Final = "HYPERHIVE_TEST_CLIENTS"
INSTALL_SECONDS: Final = 300


class NotInstalledError(Exception):
    """The programs are not there; the text is the reason to skip."""


def prefix() -> Path:
    """Name the directory that the pinned versions belong into."""
    given = os.environ.get(DIRECTORY_VARIABLE)
    if given:
        return Path(given)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    return home / "hyperhive-tests" / f"clients-{pins}"


def installed_programs() -> Path:
    """Return the directory of the programs, or say how to install them."""
    found = prefix() / "node_modules" / ".bin"
    if not found.is_dir():
        raise NotInstalledError(
            "the agent programs are not installed: python -m tests.clients.installing"
        )
    return found


def install() -> None:
    """Install the pinned versions, unless they are there."""
    if (prefix() / "node_modules" / ".bin").is_dir():
        return
    if shutil.which("npm") is None:
        raise NotInstalledError("npm is not installed, so the programs cannot be")
    prefix().mkdir(parents=True, exist_ok=True)
    (prefix() / "package.json").write_bytes(PINS.read_bytes())
    quiet = ("--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")
    command = ["npm", "install", "--prefix", str(prefix()), *quiet]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"npm took longer than {INSTALL_SECONDS} s") from error
    if done.returncode != 0:
        raise NotInstalledError(f"npm could not install them: {done.stderr.strip()[-300:]}")


def program(name: str) -> Path:
    """Return one of the programs, or say why it is not there."""
    path = installed_programs() / name
    if not path.exists():
        raise NotInstalledError(f"there is no {path}")
    return path


if __name__ == "__main__":
    try:
        install()
    except NotInstalledError as fault:
        sys.exit(f"The agent programs are missing: {fault}.")
    print(installed_programs())
