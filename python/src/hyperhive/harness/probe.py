"""What a box really is, found out from inside: who I am, what I see, what I can reach.

A declaration says how a box should be closed; only looking from within says how it is. The harness
does that at each start before it says hello, and ``python -m hyperhive.harness.probe`` prints the
same. It changes nothing and starts nothing: it asks for rights, and of connections it opens one,
to the operator's port. What it finds is told as it is; what was promised is the server's to know.

Paths are told in words: ``absent``, ``closed`` (there, and not to be read), ``read-only``,
``writable``. Lists are cut after `LIST_MAX`.
"""

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperhive.harness.box import SOCKET, STATE

VERSION: Final = 1
LIST_MAX: Final = 50
CONNECT_SECONDS: Final = 1.0

_NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_NOT_LOOKED_INTO: Final = ("/proc", "/sys", "/dev")
_SCRATCH: Final = "/dev/shm"  # noqa: S108 - looked at, not used
_ROOTS: Final = ("/", "/etc", "/usr", "/var", "/run", "/home", "/opt")
_LISTENS: Final = 0x10000
"""The flag of a socket that accepts connections, in ``/proc/net/unix``."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount as the kernel tells it."""

    place: str
    options: frozenset[str]


def probe(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Look around, and give what was found as what JSON can hold."""
    mounts = _mounts()
    status = _status()
    state, own = environment.get(STATE, ""), environment.get(SOCKET, "")
    return {
        "version": VERSION,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": sorted(os.getgroups())[:LIST_MAX],
        "capabilities": any(int(status.get(f"Cap{kind}", "0"), 16) for kind in ("Eff", "Prm")),
        "may_gain_privileges": status.get("NoNewPrivs") != "1",
        "namespaces": namespaces(),
        "strangers": _strangers(),
        "writable": _cut(_writable(mounts, environment)),
        "setuid_honoured": _cut(
            mount.place
            for mount in mounts
            if "nosuid" not in mount.options and not _is_kernels(mount.place)
        ),
        "docs": access(environment.get("HYPERHIVE_DOCS", "/docs")),
        "applied": access(environment.get("HYPERHIVE_APPLIED", "/applied")),
        "states": _states(state),
        "homes": _cut(_homes(environment.get("HOME", ""), mounts)),
        "secrets": _cut(_secrets(environment)),
        "sockets": _sockets(own),
        "network": _network(environment.get("HYPERHIVE_OPERATOR", "")),
    }


def access(path: str) -> str:
    """Say in a word what can be done with a path."""
    if not os.path.lexists(path):
        return "absent"
    if os.access(path, os.W_OK):
        return "writable"
    return "read-only" if os.access(path, os.R_OK) else "closed"


def namespaces() -> dict[str, str]:
    """Give the kernel's name of each namespace this process is in."""
    found = {}
    for kind in _NAMESPACES:
        with suppress(OSError):
            found[kind] = str(Path(f"/proc/self/ns/{kind}").readlink())
    return found


def _mounts() -> list[Mounted]:
    found = []
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            fields = line.split(" ")
            place = fields[4].replace("\\040", " ").replace("\\134", "\\")
            found.append(Mounted(place, frozenset(fields[5].split(","))))
    return found


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _strangers() -> int:
    """Count the processes one sees that are neither number 1 nor of this one's own line."""
    found = {}
    for entry in _names("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                text = Path(f"/proc/{entry}/stat").read_text(errors="replace")
                found[int(entry)] = int(text.rpartition(")")[2].split()[1])
    line = {1}
    pid = os.getpid()
    while pid and pid not in line:
        line.add(pid)
        pid = found.get(pid, 0)
    children = {pid for pid, parent in found.items() if parent == os.getpid()}
    return len(found.keys() - line - children)


def _writable(mounts: Iterable[Mounted], environment: Mapping[str, str]) -> Iterator[str]:
    """Find which mounts, and which directories above the box's own, can be written to."""
    places = {mount.place for mount in mounts if not _is_kernels(mount.place)} | set(_ROOTS)
    for name in (STATE, SOCKET, "HOME", "HYPERHIVE_SHARED", "HYPERHIVE_DOCS"):
        if path := environment.get(name):
            places |= {str(parent) for parent in Path(path).parents}
            places |= {path} - {environment.get(SOCKET)}
    yield from (place for place in sorted(places) if os.access(place, os.W_OK))


def _is_kernels(place: str) -> bool:
    if place == _SCRATCH:
        return False
    return any(place == root or place.startswith(f"{root}/") for root in _NOT_LOOKED_INTO)


def _states(own: str) -> dict[str, str]:
    """Say what can be done with the state of each other agent that can be seen."""
    agents = Path(own).parent.parent if own else Path("/agents")
    mine = Path(own).parent.name
    names = sorted(name for name in _names(agents) if name != mine)[:LIST_MAX]
    found = {name: access(str(agents / name / "state")) for name in names}
    return {name: what for name, what in found.items() if what != "absent"}


def _homes(own: str, mounts: Iterable[Mounted]) -> Iterator[str]:
    """Find homes of others that hold anything but the way to what is mounted in them."""
    places = [mount.place for mount in mounts]
    roots = {"/home", str(Path(own or "/home/agent").parent)} - {"/"}
    homes = {"/root"}
    for root in roots:
        homes |= {f"{root}/{name}" for name in _names(root)}
    for home in sorted(homes - {own}):
        if any(not _leads_to(f"{home}/{name}", places) for name in _names(home)):
            yield home


def _names(directory: str | Path) -> list[str]:
    """List a directory, one that cannot be listed as an empty one."""
    with suppress(OSError):
        return [entry.name for entry in Path(directory).iterdir()]
    return []


def _leads_to(path: str, places: Iterable[str]) -> bool:
    return any(place == path or place.startswith(f"{path}/") for place in places)


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Find what an agent must not be able to read."""
    hive = Path(environment.get("HYPERHIVE_AGENTS") or "/agents").parent
    wanted = [hive / name for name in ("hive.db", "operator-secret", "backups", "homes", "logs")]
    for path in (*wanted, Path("/etc/shadow"), Path("/root/.ssh")):
        if os.access(path, os.R_OK):
            yield str(path)


def _sockets(own: str) -> dict[str, Any]:
    """Look at every Unix socket there is to know of, the hive's own first.

    To connect takes the right to write to it. An abstract one has no rights: to see it is enough.
    """
    bound = sorted(set(_bound_sockets()))
    near: list[str] = []
    if own:
        # Where the hive keeps the sockets of the others, seen from this one's.
        around = Path(own).parent.parent
        near = [str(around.parent / "admin.sock"), *sorted(map(str, around.glob("*/agent.sock")))]
    paths = dict.fromkeys([*near, *(path for path in bound if path.startswith("/"))])
    others = [path for path in paths if path != own and os.access(path, os.W_OK)]
    return {
        "own": bool(own) and os.access(own, os.W_OK),
        "others": others[:LIST_MAX],
        "abstract": _cut(path for path in bound if path.startswith("@")),
    }


def _bound_sockets() -> Iterator[str]:
    with suppress(OSError):
        for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]:
            fields = line.split(maxsplit=7)
            if len(fields) == 8 and int(fields[3], 16) & _LISTENS:
                yield fields[7]


def _network(operator: str) -> dict[str, Any]:
    """Say which interfaces there are, and whether the operator's port can be reached."""
    found: dict[str, Any] = {
        "interfaces": _cut(name for _, name in socket.if_nameindex()),
        "operator": operator or None,
        "operator_reachable": None,
    }
    host, _, port = operator.rpartition(":")
    if host and port.isdigit():
        try:
            where = (host.strip("[]"), int(port))
            socket.create_connection(where, timeout=CONNECT_SECONDS).close()
        except OSError:
            found["operator_reachable"] = False
        else:
            found["operator_reachable"] = True
    return found


def _cut(values: Iterable[str]) -> list[str]:
    return sorted(set(values))[:LIST_MAX]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(), sort_keys=True) + "\n")
