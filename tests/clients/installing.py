"""Where the real agent programs are: installed by npm, once for all runs of the tests.

``HYPERHIVE_TEST_CLIENTS`` names a directory to use instead, such as one that CI keeps. It must
hold ``node_modules/.bin``; nothing is installed there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).parent / "package.json"
DIRECTORY_VARIABLE: Final = "HYPERHIVE_TEST_CLIENTS"
INSTALL_SECONDS: Final = 300
FAILURE_SECONDS: Final = 600
"""An installation that failed is not tried again so soon: every test would wait for it."""


class NotInstalledError(Exception):
    """The programs are not there; the text is the reason to skip."""


def installed_programs() -> Path:
    """Return the directory of the programs, installing the pinned versions if need be."""
    given = os.environ.get(DIRECTORY_VARIABLE)
    if given:
        return Path(given) / "node_modules" / ".bin"
    pins = PINS.read_bytes()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    prefix = home / "hyperhive-tests" / f"clients-{hashlib.sha256(pins).hexdigest()[:12]}"
    try:
        prefix.mkdir(parents=True, exist_ok=True)
        # Test workers run side by side: one installs, the others wait for it.
        with (prefix / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (prefix / "complete").exists():
                _install_once(prefix, pins)
    except OSError as error:
        raise NotInstalledError(f"the programs cannot be installed: {error}") from error
    return prefix / "node_modules" / ".bin"


def _install_once(prefix: Path, pins: bytes) -> None:
    failed = prefix / "failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < FAILURE_SECONDS:
        raise NotInstalledError(failed.read_text())
    try:
        _install(prefix, pins)
    except NotInstalledError as error:
        failed.write_text(str(error))
        raise


def _install(prefix: Path, pins: bytes) -> None:
    if shutil.which("npm") is None:
        raise NotInstalledError("npm is not installed, so the programs cannot be")
    (prefix / "package.json").write_bytes(pins)
    quiet = ("--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")
    command = ["npm", "install", "--prefix", str(prefix), *quiet]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"npm took longer than {INSTALL_SECONDS} s") from error
    if done.returncode != 0:
        raise NotInstalledError(f"npm could not install them: {done.stderr.strip()[-300:]}")
    (prefix / "complete").touch()


def program(name: str) -> Path:
    """Return one of the programs, or say why it is not there."""
    path = installed_programs() / name
    if not path.exists():
        raise NotInstalledError(f"there is no {path}")
    return path
