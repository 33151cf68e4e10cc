"""What the machines of these tests are made from, made once and kept outside the tree.

``python3 -m tests.systemd.installing`` makes the Debian beforehand, so that no test waits for it.
All is kept by its content: other packages make another one, and an unfinished one is never used.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("HYPERHIVE_TEST_CACHE", "/var/cache/hyperhive-test"))
SUITE: Final = "bookworm"
PACKAGES: Final = (
    "ca-certificates",
    "dbus",
    "git",
    "iproute2",
    # Nix needs it by another name, which debootstrap does not look for.
    "libdbi-perl",
    "libnss-systemd",
    "libpam-systemd",
    "nix-bin",
    "polkitd",
    "procps",
    "python3",
    "systemd",
    "systemd-container",
    "systemd-sysv",
)
PYTHON: Final = (3, 11)
"""The Python of that suite."""

TOOLS: Final = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}
"""The programs that are needed, and the package of each."""

_COMPLETE: Final = ".complete"


def why_not() -> str | None:
    """Say why no machine can be made here, or ``None``."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "tests/systemd boots machines in systemd-nspawn, which takes root on Linux"
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        return f"tests/systemd boots machines, which takes: apt-get install {' '.join(missing)}"
    if sys.version_info[:2] != PYTHON:
        version = ".".join(map(str, PYTHON))
        return f"tests/systemd runs this Python's packages in Debian {SUITE}, which has {version}"
    return None


def debian() -> Path:
    """Give the root of a Debian with systemd; it is made if it is not there yet."""
    content = hashlib.sha256("\0".join((SUITE, *PACKAGES)).encode()).hexdigest()[:16]
    place = CACHE / f"{SUITE}-{content}"
    with _alone():
        if not (place / _COMPLETE).exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            names = ",".join(PACKAGES)
            command = ["debootstrap", "--variant=minbase", f"--include={names}", SUITE, str(place)]
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                # What is half written is thrown away anyway: nothing has to be on the disk.
                env={**os.environ, "DPKG_FORCE": "unsafe-io"},
            )
            if done.returncode != 0:
                raise OSError(f"debootstrap failed:\n{done.stdout[-2000:]}")
            (place / _COMPLETE).touch()
    return place


def packages() -> Path:
    """Give a directory with the Python packages that hyperhive needs, as this Python has them."""
    needed = sorted({found.name: found for found in _needed("hyperhive")}.items())
    versions = "\0".join(f"{name} {found.version}" for name, found in needed)
    place = CACHE / f"python-{hashlib.sha256(versions.encode()).hexdigest()[:16]}"
    with _alone():
        if not (place / _COMPLETE).exists():
            shutil.rmtree(place, ignore_errors=True)
            for _, found in needed:
                for file in found.files or ():
                    source, target = Path(str(file.locate())), place / file
                    if ".." not in file.parts and source.is_file():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy2(source, target)
            compile_all(place)
            (place / _COMPLETE).touch()
    return place


def compile_all(place: Path) -> None:
    """Compile what will be read-only, so that no start has to."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(place)], check=True)


@contextmanager
def _alone() -> Iterator[None]:
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _needed(name: str) -> Iterator[metadata.Distribution]:
    """Give what a package needs, without the package itself."""
    # The Debian is made by any Python, before there is an environment with packages.
    from packaging.requirements import Requirement

    waiting, seen = [(name, "")], {(name, "")}
    while waiting:
        package, extra = waiting.pop()
        found = metadata.distribution(package)
        if package != name:
            yield found
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = {(requirement.name, more) for more in ("", *requirement.extras)} - seen
                seen |= wanted
                waiting += wanted


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(reason)
    print(debian())
