"""What a kind of box promises, and where a box that looked at itself is otherwise.

The probe runs in the box and may be wrong, or lie: what it says is read with suspicion, and what
it leaves out counts as a difference. What a kind does not promise is never one. Pure: the names of
the host's namespaces are handed in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from hyperhive.domain import confinement
from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import BUBBLEWRAP, NIXOS_CONTAINER, box_state
from hyperhive.domain.instances import BoxSpec

OWN_NAMESPACES: Final = ("ipc", "mnt", "pid", "user", "uts")
_SCRATCH: Final = ("/tmp", "/dev/shm")  # noqa: S108 - the box's own
_OF_A_GUEST: Final = ("/dev", "/dev/mqueue", "/var/tmp")  # noqa: S108 - the guest's own
"""Where a booted guest may let its users write, besides."""

_OF_THE_HIVE: Final = ("/admin.sock", "/agent.sock")
_SHOWN_MAX: Final = 5
_NAMESPACES_SHOWN: Final = 10
_PATHS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Promises:
    """What a box of one agent must be like; ``is_closed`` is false where nothing is promised.

    A box that ``is_guest`` runs a system of its own: its processes, its sockets and its programs
    are nobody else's.
    """

    is_closed: bool
    is_guest: bool = False
    agent: str = ""
    is_manager: bool = False
    manager_writes: bool = False
    has_network: bool = True
    writable: frozenset[str] = frozenset()
    may_write: frozenset[str] = frozenset()
    """Where it can write or cannot, as the owner of the directory on this host has it."""
    host_namespaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def expected(spec: BoxSpec, host_namespaces: Mapping[str, str]) -> Promises:
    """Say what is promised of this box; ``host_namespaces`` are the server's own."""
    declared = spec.confinement
    if declared.kind not in (BUBBLEWRAP, NIXOS_CONTAINER):
        return Promises(is_closed=False, host_namespaces=host_namespaces)
    own = (box_state(spec.name), confinement.SHARED, confinement.HOME)
    proposed = (confinement.CONFIGS,) if spec.role is Role.MANAGER else ()
    further = (mount.mount_point for mount in declared.mounts if not mount.is_read_only)
    return Promises(
        is_closed=True,
        is_guest=declared.kind == NIXOS_CONTAINER,
        agent=spec.name,
        is_manager=spec.role is Role.MANAGER,
        manager_writes=declared.manager_writes,
        has_network=declared.has_network,
        writable=frozenset({*map(str, (*own, *further)), *_SCRATCH}),
        may_write=frozenset(map(str, proposed)),
        host_namespaces=host_namespaces,
    )


def differences(probe: object, promises: Promises) -> tuple[str, ...]:
    """Give a sentence for each way in which the box is not what was promised."""
    if not promises.is_closed:
        return ()
    if not isinstance(probe, Mapping):
        return ("The box did not say how it is closed.",)
    return tuple(_differences(_Told(probe), promises))


def remarks(probe: object, promises: Promises) -> tuple[str, ...]:
    """Give a sentence for what is as promised and still good to know."""
    if not promises.is_closed:
        return ("Nothing is kept from this agent: it can do what the hive's own user can.",)
    told = _Told(probe if isinstance(probe, Mapping) else {})
    found = []
    if not promises.has_network:
        found.append("This box has no network, so no model can be reached from it.")
    elif told.get("network", "operator_reachable") is True:
        found.append("The operator's page can be reached from this box; its login protects it.")
    if abstract := told.texts("sockets", "abstract"):
        found.append(f"These sockets of the host's network can be reached: {_listed(abstract)}.")
    return tuple(found)


def facts(probe: object, promises: Promises) -> tuple[str, ...]:
    """Give in sentences what the box said that it is, sees and reaches, whatever was promised."""
    told = _Told(probe if isinstance(probe, Mapping) else {})
    found = []
    if isinstance(uid := told.get("uid"), int):
        gains = "cannot" if told.get("may_gain_privileges") is False else "can"
        rights = "no capability" if told.get("capabilities") is False else "capabilities"
        found.append(f"It runs as user {uid} with {rights}; its programs {gains} gain privileges.")
    if (spaces := told.table("namespaces")) is not None:
        host = promises.host_namespaces
        own = sorted(kind for kind, name in spaces.items() if name != host.get(kind))
        found.append(f"Namespaces of its own: {_listed(own, _NAMESPACES_SHOWN) or 'none'}.")
    if (writable := told.texts("writable")) is not None:
        found.append(f"It can write to {_listed(writable, _PATHS_SHOWN) or 'nothing'}.")
    if (states := told.table("states")) is not None:
        others = [f"{name} ({what})" for name, what in sorted(states.items())]
        found.append(f"States of others that it sees: {_listed(others, _PATHS_SHOWN) or 'none'}.")
    if (interfaces := told.texts("network", "interfaces")) is not None:
        can = "can" if told.get("network", "operator_reachable") is True else "cannot"
        seen = _listed(interfaces) or "none"
        found.append(f"Network: {seen}; the operator's port {can} be reached.")
    return tuple(found)


class _Told:
    """What a probe says; nothing in it is as it should be until it was looked at."""

    def __init__(self, probe: Mapping[str, Any]) -> None:
        self._probe = probe

    def get(self, *keys: str) -> object:
        """Give a value, or ``None``."""
        found: object = self._probe
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def texts(self, *keys: str) -> list[str] | None:
        """Give a list of texts, or ``None`` where there is none."""
        found = self.get(*keys)
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return found
        return None

    def table(self, *keys: str) -> dict[str, str] | None:
        """Give a table of texts, or ``None`` where there is none."""
        found = self.get(*keys)
        if isinstance(found, dict) and all(isinstance(item, str) for item in found.values()):
            return found
        return None


def _differences(told: _Told, promises: Promises) -> Iterator[str]:
    yield from _of_rights(told, promises)
    yield from _of_namespaces(told, promises)
    yield from _of_files(told, promises)
    yield from _of_states(told, promises)
    yield from _of_reach(told, promises)


def _of_rights(told: _Told, promises: Promises) -> Iterator[str]:
    uid = told.get("uid")
    if not isinstance(uid, int) or uid == 0:
        yield "It runs as root." if uid == 0 else _silent("as whom it runs")
    if told.get("capabilities") is not False:
        yield "It has capabilities of the kernel."
    if told.get("may_gain_privileges") is not False:
        yield "Its programs can gain privileges."
    strangers = told.get("strangers")
    if strangers != 0 and not promises.is_guest:
        yield f"It sees {strangers} processes that are not its own."


def _of_namespaces(told: _Told, promises: Promises) -> Iterator[str]:
    found = told.table("namespaces")
    if found is None:
        yield _silent("which namespaces it has")
        return
    own = OWN_NAMESPACES if promises.has_network else (*OWN_NAMESPACES, "net")
    shared = [kind for kind in own if found.get(kind) in {None, promises.host_namespaces.get(kind)}]
    if shared:
        yield f"It shares namespaces with the host: {_listed(shared)}."


def _of_files(told: _Told, promises: Promises) -> Iterator[str]:
    writable = told.texts("writable")
    if writable is None:
        yield _silent("where it can write")
    else:
        allowed = promises.writable | promises.may_write
        allowed |= set(_OF_A_GUEST if promises.is_guest else ())
        more = [path for path in writable if path not in allowed and not _is_states(path, promises)]
        if more:
            yield f"It can write where it should not: {_listed(more)}."
        if missing := sorted(promises.writable - set(writable)):
            yield f"It cannot write where it should: {_listed(missing)}."
    for what, is_wanted in (("docs", True), ("applied", promises.is_manager)):
        found = told.get(what)
        wanted = "read-only" if is_wanted else "absent"
        if found != wanted:
            yield f"/{what} should be {wanted} and is {found}."
    for what, sentence in (
        ("setuid_honoured", "It can use setuid programs in"),
        ("homes", "It sees homes of others"),
        ("secrets", "It can read what is secret"),
    ):
        found_there = told.texts(what)
        if found_there is None:
            yield _silent(f"what it finds of {what.replace('_', ' ')}")
            continue
        if promises.is_guest and what == "setuid_honoured":
            # Its programs gain nothing from one; what counts is that the host's do not either.
            found_there = [path for path in found_there if path in promises.writable]
        if found_there:
            yield f"{sentence}: {_listed(found_there)}."


def _is_states(path: str, promises: Promises) -> bool:
    """Whether the path is a state that this manager was given to write to."""
    parts = path.split("/")
    is_state = len(parts) == 4 and parts[1] == "agents" and parts[3] == "state"
    return promises.is_manager and promises.manager_writes and is_state


def _of_states(told: _Told, promises: Promises) -> Iterator[str]:
    states = told.table("states")
    if states is None:
        yield _silent("whose state it sees")
        return
    if not promises.is_manager and states:
        yield f"It sees the state of {_listed(sorted(states))}."
    if promises.is_manager and not promises.manager_writes:
        open_to_it = sorted(name for name, what in states.items() if what == "writable")
        if open_to_it:
            yield f"It can write to the state of {_listed(open_to_it)}."


def _of_reach(told: _Told, promises: Promises) -> Iterator[str]:
    others = told.texts("sockets", "others")
    if others is not None and promises.is_guest:
        others = [path for path in others if path.endswith(_OF_THE_HIVE)]
    if others is None:
        yield _silent("which sockets it reaches")
    elif others:
        yield f"It reaches sockets that are not its own: {_listed(others)}."
    if told.get("sockets", "own") is not True:
        yield "It does not reach its own socket."
    if not promises.has_network:
        interfaces = told.texts("network", "interfaces")
        if interfaces is None or set(interfaces) - {"lo"}:
            yield "It has a network and should have none."
        if told.get("network", "operator_reachable") is True:
            yield "It reaches the operator's port without a network."


def _silent(what: str) -> str:
    return f"The box did not say {what}."


def _listed(names: list[str], most: int = _SHOWN_MAX) -> str:
    shown = [name[:100] for name in names[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
