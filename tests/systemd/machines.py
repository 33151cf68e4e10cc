"""A Debian booted in systemd-nspawn, as the host of a hive: for a limited time, and never left.

Its programs are those of the cached root, read-only; everything else is its own, on disk until it
ends. `Machine.run` runs a command in it, `Machine.path` leads to its files from outside.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.pace import on_this_machine
from tests.systemd import installing

LIFE_SECONDS: Final = 1200
"""How long a machine may live whatever its tests do."""

PATIENCE_SECONDS: Final = 30.0
_LINKS: Final = ("bin", "sbin", "lib", "lib64")
_EMPTY: Final = ("dev", "home", "mnt", "proc", "root", "run", "srv", "sys", "usr", "var/cache")
_EMPTY_SHARED: Final = ("tmp", "var/tmp")
_KEPT: Final = ("dbus", "polkit-1", "systemd")
_PACKAGES: Final = "/usr/local/lib/python3.11/dist-packages"
"""Where the Python of Debian, and so of the guests, finds what is not its own."""
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote to both its outputs."""

    status: int
    said: str


class Namespace:
    """Somewhere that commands can be run in: a machine, a guest of it, a service of that."""

    def __init__(self, enter: Callable[[], list[str]], rights: tuple[str, ...] = ()) -> None:
        self.enter = enter
        self._rights = rights

    def try_to(
        self, *command: str, user: str | int | None = None, seconds: float = PATIENCE_SECONDS
    ) -> Done:
        """Run a command, as root or as a user of it, and say how it ended."""
        done = subprocess.run(
            [*self.enter(), *_as(user, self._rights), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=on_this_machine(seconds),
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
        )
        return Done(done.returncode, done.stdout)

    def run(
        self, *command: str, user: str | int | None = None, seconds: float = PATIENCE_SECONDS
    ) -> str:
        """Run a command that must succeed, and give what it wrote."""
        done = self.try_to(*command, user=user, seconds=seconds)
        assert done.status == 0, f"{' '.join(command)} ended with {done.status}:\n{done.said}"
        return done.said


class Machine(Namespace):
    """A booted machine; ``leader`` is its process 1, seen from here."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self.leader = leader
        super().__init__(lambda: _entered(leader))

    def path(self, place: str) -> Path:
        """Give a path of the machine as it is seen from here, its own mounts included."""
        return Path(f"/proc/{self.leader}/root") / place.lstrip("/")

    def leader_of(self, guest: str) -> int:
        """Give the first process of a guest, as the machine counts them."""
        return int(self.run("machinectl", "show", guest, "--property=Leader", "--value"))

    def guest(self, name: str) -> Namespace:
        """Give a guest that runs; what is run there is run as its root unless a user is named."""
        within = ["nsenter", "--all", f"--target={self.leader_of(name)}", "--"]
        return Namespace(lambda: [*_entered(self.leader), *within])


def make_root(place: Path, debian: Path) -> None:
    """Make a root whose programs are to be mounted from elsewhere; all else is copied."""
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in _EMPTY:
        (place / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in _EMPTY_SHARED:
        (place / name).mkdir(parents=True, exist_ok=True)
        (place / name).chmod(0o1777)
    for name in _LINKS:
        if (debian / name).is_symlink():
            (place / name).symlink_to((debian / name).readlink())
    (place / "root").chmod(0o700)
    (place / "var/log/journal").mkdir(parents=True)
    shutil.copytree(debian / "etc", place / "etc", symlinks=True)
    for name in _KEPT:
        shutil.copytree(debian / "var/lib" / name, place / "var/lib" / name, symlinks=True)
    for name, text in (("machine-id", ""), ("hostname", ""), ("resolv.conf", "")):
        (place / "etc" / name).unlink(missing_ok=True)
        (place / "etc" / name).write_text(text)
    # nspawn looks for it before it mounts anything.
    (place / "etc/os-release").unlink()
    shutil.copy(debian / "usr/lib/os-release", place / "etc/os-release")


@contextmanager
def booted(
    furnish: Callable[[Path, Path], None], shown: Mapping[Path, str] = MappingProxyType({})
) -> Iterator[Machine]:
    """Boot a machine that ``furnish(root, debian)`` has put its files into, and end it at last.

    ``shown`` are directories of this machine that it sees, read-only, and where.
    """
    debian, packages = installing.debian(), installing.packages()
    place = Path(tempfile.mkdtemp(prefix="machine-", dir=installing.CACHE))
    # Users of the machine look into it.
    place.chmod(0o755)
    root, log = place / "root", place / "console"
    try:
        make_root(root, debian)
        furnish(root, debian)
        with log.open("wb") as console:
            child = subprocess.Popen(
                _command(root, {debian / "usr": "/usr", packages: _PACKAGES, **shown}),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            machine = Machine(root, _await_leader(child, log))
            _await_boot(machine, log)
            yield machine
        finally:
            _end(child)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def await_that(holds: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds, for so long; ``what`` says what did not come about."""
    deadline = time.monotonic() + on_this_machine(seconds)
    while not holds():
        assert time.monotonic() < deadline, f"within {seconds:g} s this did not come about: {what}"
        time.sleep(_POLL_SECONDS)


def _command(root: Path, shown: Mapping[Path, str]) -> list[str]:
    # A test run that is killed takes its machine with it, which shuts down then.
    dies = ["setpriv", "--pdeathsig=TERM"]
    return [
        *dies,
        "timeout",
        "--kill-after=30",
        str(LIFE_SECONDS),
        *dies,
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        "--machine=host",
        *(f"--bind-ro={source}:{place}" for source, place in shown.items()),
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--capability=all",
        "--console=pipe",
        "--boot",
        "systemd.show_status=no",
    ]


def _as(user: str | int | None, rights: tuple[str, ...]) -> list[str]:
    if user is None:
        return []
    groups = "--clear-groups" if isinstance(user, int) else "--init-groups"
    return ["setpriv", f"--reuid={user}", f"--regid={user}", groups, *rights, "--"]


def _entered(leader: int) -> list[str]:
    return [
        "nsenter",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        f"--target={leader}",
        "--",
    ]


def _await_leader(child: "subprocess.Popen[bytes]", log: Path) -> int:
    own = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link that leads nowhere
    found = [0]

    def is_there() -> bool:
        assert child.poll() is None, f"the machine ended:\n{log.read_text()[-2000:]}"
        for pid in _descendants(child.pid):
            with contextlib.suppress(OSError):
                is_inside = os.readlink(f"/proc/{pid}/ns/pid") != own  # noqa: PTH115
                if is_inside and Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    found[0] = pid
                    return True
        return False

    await_that(is_there, "the machine has a first process")
    return found[0]


def _await_boot(machine: Machine, log: Path) -> None:
    def is_up() -> bool:
        return machine.try_to("systemctl", "is-system-running").said.strip() in {
            "running",
            "degraded",
        }

    await_that(is_up, f"the machine is up; its console: {log.read_text()[-2000:]}")


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a machine at once: nothing of it is kept, and all that runs in it ends with its first."""
    own = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link that leads nowhere
    for pid in list(_descendants(child.pid)):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") != own:  # noqa: PTH115
                os.kill(pid, signal.SIGKILL)
    child.terminate()
    child.wait(PATIENCE_SECONDS)
