"""Boxes that are NixOS containers: a whole guest each, made by the host's own systemd and nspawn.

The module declares a container ``h-<name>`` for each agent: its file systems, users and network,
and the unit inside that runs the harness. This runtime starts and stops the unit
``container@h-<name>.service``, as the ordinary user of the server, whom polkit lets do just that.
It makes no box of its own, so it starts only what is configured with a user namespace. The system
of an agent that came at run time is put in place before each start, by the unit
``hyperhive-deploy@<name>.service``, which checks what it is asked for.

systemd keeps the boxes, not the server: they outlive it, and a unit that ended while no server
looked is still known as failed. A note in ``<runDir>/boxes`` says from which declaration a run was
started, by systemd's id of that run. A run without a note was started by somebody else: it counts
as made from another declaration. How long a guest may take to go down is its unit's
``TimeoutStopSec``: the server may not kill it.

What the harness writes is in the host's journal, because the guest's unit writes to its console
under the name `HARNESS`; to read it takes membership in ``systemd-journal``. A running event loop
of the calling thread is needed.
"""

import asyncio
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from hyperhive.domain.actors import name_fault
from hyperhive.domain.confinement import NIXOS_CONTAINER
from hyperhive.domain.errors import ConflictError, HiveError, InvalidError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Clock
from hyperhive.runtimes import environment
from hyperhive.runtimes.records import BoxRecord, Records
from hyperhive.runtimes.units import Systemd, Unit

CONFIGURED: Final = Path("/etc/nixos-containers")
"""Where NixOS says what a container runs, one file each."""

HARNESS: Final = "hyperhive-agent"
"""The name under which the guest's unit writes."""

STOP_SECONDS: Final = 90.0
"""How long beyond the grace a guest may take to be down before a stop gives up."""

NOTHING: Final = "none"
"""What is asked for where a container is to be taken away."""

_PREFIX: Final = "container@h-"
_DEPLOYMENT: Final = "hyperhive-deploy@"
_REFUSES: Final = "hyperhive-deploy: "
_SUFFIX: Final = ".service"
_PATTERN: Final = f"{_PREFIX}*{_SUFFIX}"
_STORY_LINES: Final = 5
_LOG_LINES: Final = 4000
"""How far back the harness's lines are looked for among those of its guest's system."""

_OF_HARNESS: Final = re.compile(rf"{HARNESS}\[\d+\]: ?(.*)")
_SETTLE_SECONDS: Final = 0.2
_WITHOUT_USERS: Final = frozenset({"", "no", "0", "false", "identity"})


def unit_of(agent: str) -> str:
    """Give the unit that is an agent's container."""
    return f"{_PREFIX}{agent}{_SUFFIX}"


def source_of(agent: str, directory: Path = CONFIGURED) -> Path:
    """Give the file that says what is configured for an agent's container."""
    return directory / f"h-{agent}.conf"


def configured(agent: str, directory: Path = CONFIGURED) -> str | None:
    """Identify what is configured now for an agent's container, or ``None`` where nothing is.

    It changes with the guest's system, its mounts and its network.
    """
    try:
        text = source_of(agent, directory).read_text(errors="replace")
    except OSError:
        return None
    # A path below a profile is a link that moves when another system is installed there.
    system = os.path.realpath(_settings(text).get("SYSTEM_PATH", "/"))
    return hashlib.sha256(f"{text}\0{system}".encode()).hexdigest()


class NixosContainerRuntime:
    """The port `Runtime` over the host's ``container@`` units.

    ``directory`` is where the containers are configured.
    """

    def __init__(
        self,
        paths: HivePaths,
        clock: Clock,
        *,
        systemd: Systemd | None = None,
        directory: Path = CONFIGURED,
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._systemd = systemd or Systemd()
        self._directory = directory
        self._records = Records(paths.records)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._starting: set[str] = set()
        self._starts: set[asyncio.Task[None]] = set()
        self._seen: dict[str, str] = {}
        self._handles: dict[str, tuple[str, int]] = {}
        self._changed = asyncio.Event()
        self._changed.set()

    @classmethod
    def fault(cls) -> str | None:
        """Say why no container can be started on this machine, or ``None``."""
        return Systemd.fault()

    @property
    def isolation(self) -> str:
        """A guest of the host's systemd."""
        return NIXOS_CONTAINER

    async def start(self, spec: BoxSpec) -> None:
        """Start the container and wait until its guest is up; see `Runtime.start`."""
        if spec.paths != self._paths:
            raise InvalidError(
                f"Box {spec.name!r} is declared below {spec.state_dir} and {spec.run_dir}.",
                f"This runtime keeps {self._paths.state_dir} and {self._paths.run_dir}.",
            )
        # A start that is cancelled half-way would leave a run without a complete note.
        task = asyncio.create_task(self._start(spec))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        await asyncio.shield(task)

    async def stop(self, name: str, grace_seconds: float) -> None:
        """Have systemd shut the guest down; see `Runtime.stop`.

        ``grace_seconds`` only moves when this gives up: the unit's own limit is what kills.
        """
        if name_fault(name) is not None:
            return
        async with self._locks[name]:
            try:
                record = self._own(name)
                unit = await self._systemd.unit(unit_of(name))
                if unit.lives:
                    await self._systemd.stop(unit.name, grace_seconds + STOP_SECONDS)
                self._let_go(name)
                if record is not None:
                    self._records.remove(name)
            finally:
                self._changed.set()

    async def observe(self) -> Mapping[str, Instance]:
        """See what is there; see `Runtime.observe`."""
        self._changed.clear()
        units = await self._systemd.units(_PATTERN)
        records = {
            record.name: record
            for record in self._records.read_all()
            if record.kind == NIXOS_CONTAINER
        }
        living = {_agent_of(name): unit for name, unit in units.items() if unit.lives}
        found: dict[str, Instance] = {}
        for name in sorted({*living, *records} - self._starting):
            if name_fault(name) is not None:
                continue
            record = records.get(name)
            if name in living:
                found[name] = self._see_living(name, living[name], record)
            elif record is not None:
                ended = await self._see_ended(record, units.get(unit_of(name)))
                if ended is not None:
                    found[name] = ended
        return found

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give the end of what the harness wrote; see `Runtime.logs`.

        Where it has written nothing, what its guest's system did comes instead.
        """
        if lines <= 0 or name_fault(name) is not None:
            return []
        written = await self._systemd.output(unit_of(name), max(lines, _LOG_LINES))
        found = [line[1] for line in map(_OF_HARNESS.fullmatch, written) if line is not None]
        return (found or written)[-lines:]

    async def changed(self) -> None:
        """Wait for a change; see `Runtime.changed`."""
        await self._changed.wait()

    def close(self) -> None:
        """Let go of all containers; they run on."""
        for name in tuple(self._handles):
            self._unwatch(name)

    async def _start(self, spec: BoxSpec) -> None:
        name = spec.name
        async with self._locks[name]:
            self._starting.add(name)
            try:
                unit = await self._systemd.unit(unit_of(name))
                if unit.is_ending:
                    await self._systemd.stop(unit.name, STOP_SECONDS)
                elif unit.lives:
                    self._require_same(spec, unit)
                    return
                self._let_go(name)
                await self._launch(spec)
            finally:
                self._starting.discard(name)
                self._changed.set()

    async def _launch(self, spec: BoxSpec) -> None:
        # systemd's ids of runs are of one boot only, so which one it is need not be known here.
        record = BoxRecord(
            spec.name, "", spec.digest, self._clock.now(), boot="", kind=NIXOS_CONTAINER
        )
        try:
            if spec.built:
                await self._install(spec.name, spec.built)
            self.require_box(spec.name)
            await asyncio.to_thread(make_directories, spec)
            self._records.write(record)
            await self._systemd.start(unit_of(spec.name))
            unit = await self._systemd.unit(unit_of(spec.name))
            if not unit.lives:
                raise UnavailableError("It was up, and ended at once.")
            self._records.write(replace(record, incarnation=unit.invocation))
            self._watch(spec.name, unit)
        except (OSError, HiveError) as error:
            with suppress(HiveError):
                await self._systemd.stop(unit_of(spec.name), STOP_SECONDS)
            with suppress(OSError):
                self._records.remove(spec.name)
            raise await self._cannot_start(spec.name, error) from error

    def _require_same(self, spec: BoxSpec, unit: Unit) -> None:
        record = self._complete(self._own(spec.name), unit)
        if record is None or record.digest != spec.digest:
            raise ConflictError(
                f"Agent {spec.name!r} already runs, from another declaration.",
                "Stop it first, then start it as it is declared now.",
            )
        self._watch(spec.name, unit)

    async def forget(self, name: str) -> None:
        """Have the host take away the container of an agent that came at run time, if it is one."""
        if name_fault(name) is None and source_of(name, self._directory).exists():
            await self._install(name, NOTHING)

    async def _install(self, name: str, system: str) -> None:
        """Have the host put a system in place, or take it away; it checks what it is given."""
        await asyncio.to_thread(_ask, self._paths.requests, name, system)
        unit = f"{_DEPLOYMENT}{name}{_SUFFIX}"
        try:
            await self._systemd.start(unit)
        except UnavailableError as error:
            story = await self._systemd.story(unit, _STORY_LINES)
            told = [line for line in story if line.startswith(_REFUSES)]
            said = told[-1].removeprefix(_REFUSES) if told else error.detail
            raise UnavailableError(
                f"The host does not install its system: {said}.",
                f"See `journalctl --unit {unit}` on the host.",
            ) from error

    def require_box(self, name: str) -> None:
        """Refuse to start what is not configured as a box: less than that is never run."""
        conf = source_of(name, self._directory)
        try:
            found = _settings(conf.read_text(errors="replace"))
        except OSError as error:
            raise UnavailableError(
                f"No container is configured for it: {conf}: {error.strerror}.",
                "Declare the agent in services.hyperhive.agents and run nixos-rebuild switch; one "
                "that came at run time has none until its system is built.",
            ) from error
        if found.get("PRIVATE_USERS", "").strip().lower() in _WITHOUT_USERS:
            raise UnavailableError(
                f"{conf} gives its container no user namespace (PRIVATE_USERS).",
                'Leave containers.<name>.privateUsers at "pick".',
            )

    async def _cannot_start(self, name: str, error: OSError | HiveError) -> UnavailableError:
        reason = error.detail if isinstance(error, HiveError) else f"{error}."
        remedy = error.remedy if isinstance(error, HiveError) else ""
        story: list[str] = []
        if not remedy:
            with suppress(HiveError):
                story = await self._systemd.story(unit_of(name), _STORY_LINES)
        told = f" Its unit said: {' / '.join(story)}" if story else ""
        return UnavailableError(
            f"Agent {name!r} cannot be started: {reason}{told}",
            remedy or f"See `journalctl --unit {unit_of(name)}` on the host.",
        )

    def _see_living(self, name: str, unit: Unit, record: BoxRecord | None) -> Instance:
        known = self._complete(record, unit)
        if not self._locks[name].locked():
            self._watch(name, unit)
        if known is None:
            return Instance(
                name, Phase.RUNNING, unit.invocation, "", unit.since, pid=unit.main_pid or None
            )
        return _instance(known, Phase.RUNNING, unit.main_pid or None)

    async def _see_ended(self, record: BoxRecord, unit: Unit | None) -> Instance | None:
        """Tell a crash from an end that nobody saw, and note a crash for the next server."""
        name = record.name
        if record.ended_at is not None:
            return _instance(record, Phase.FAILED)
        if self._locks[name].locked():
            # It is being stopped or made anew: this end was asked for, or is about to be history.
            return _instance(record, Phase.STOPPED)
        is_its_own = unit is not None and unit.invocation == record.incarnation != ""
        failed = is_its_own and unit is not None and unit.has_failed
        if not failed and self._seen.get(name) != record.incarnation:
            return _instance(record, Phase.STOPPED)
        async with self._locks[name]:
            if self._own(name) != record:
                return None
            ended = replace(
                record,
                ended_at=self._clock.now(),
                exit_status=unit.exit_status if unit is not None and is_its_own else None,
            )
            # A disk that is full must not hide what is seen, of this box or of the others.
            with suppress(OSError):
                self._records.write(ended)
        return _instance(ended, Phase.FAILED)

    def _complete(self, record: BoxRecord | None, unit: Unit) -> BoxRecord | None:
        """Give the note of this very run, or ``None``.

        An incomplete one is of a server that died while it started the unit that runs now.
        """
        if record is None or record.ended_at is not None:
            return None
        if record.incarnation == unit.invocation:
            return record
        if record.incarnation or unit.since + 1 < record.started_at:
            return None
        made = replace(record, incarnation=unit.invocation)
        if unit.state == "active":
            with suppress(OSError):
                self._records.write(made)
        return made

    def _own(self, name: str) -> BoxRecord | None:
        record = self._records.read(name)
        return record if record is not None and record.kind == NIXOS_CONTAINER else None

    def _watch(self, name: str, unit: Unit) -> None:
        """Notice the end of the container's first process on the host at once."""
        self._seen[name] = unit.invocation
        if unit.is_ending:
            # Its first process may be gone already, and only systemd knows when the rest is.
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._changed.set)
        if not unit.main_pid or self._handles.get(name, ("", 0))[0] == unit.invocation:
            return
        self._unwatch(name)
        try:
            handle = os.pidfd_open(unit.main_pid)
        except OSError:
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._changed.set)
            return
        self._handles[name] = unit.invocation, handle
        asyncio.get_running_loop().add_reader(handle, self._note_end, name)

    def _note_end(self, name: str) -> None:
        self._unwatch(name)
        self._changed.set()

    def _unwatch(self, name: str) -> None:
        found = self._handles.pop(name, None)
        if found is not None:
            asyncio.get_running_loop().remove_reader(found[1])
            os.close(found[1])

    def _let_go(self, name: str) -> None:
        self._unwatch(name)
        self._seen.pop(name, None)


def make_directories(spec: BoxSpec) -> None:
    """Make what is missing of the host directories that an agent's container binds."""
    environment.make_directories(spec)
    if spec.credentials:
        # What is mounted there must find its place: the directory around it is read-only inside.
        (spec.paths.run(spec.name) / "credentials").mkdir(mode=0o750, exist_ok=True)


def _ask(requests: Path, name: str, system: str) -> None:
    """Write what the host is asked for, all of it or nothing."""
    fresh = requests / f".{name}.new"
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, 0o640), "w", encoding="utf-8") as file:
        file.write(f"{system}\n")
    fresh.replace(requests / name)


def _settings(text: str) -> dict[str, str]:
    """Read a file as systemd reads one with environment variables, as far as NixOS writes it."""
    pairs = (line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, value in pairs}


def _agent_of(unit: str) -> str:
    return unit.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def _instance(record: BoxRecord, phase: Phase, pid: int | None = None) -> Instance:
    return Instance(
        name=record.name,
        phase=phase,
        incarnation=record.incarnation,
        digest=record.digest,
        started_at=record.started_at,
        pid=pid,
        ended_at=record.ended_at,
        exit_status=record.exit_status,
        because=record.because,
    )
