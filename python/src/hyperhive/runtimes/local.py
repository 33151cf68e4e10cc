"""Boxes whose processes this machine's kernel shows: started, watched, ended and found again.

What kind of box it is a `Launcher` decides; this is the same for all of them. Each box has a note
in ``<runDir>/boxes`` from before its first process exists, so the next server finds it again,
even after this one was killed; boxes of other kinds have their notes there, too, and are left
alone. A box ends with everything it started.

It needs a running event loop of the thread that calls it. Whatever blocks runs in threads of its
own.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar
from uuid import uuid4

from hyperhive.domain.actors import name_fault
from hyperhive.domain.errors import ConflictError, HiveError, InvalidError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.domain.ports import Clock
from hyperhive.runtimes import environment, processes
from hyperhive.runtimes.launching import Launched, Launcher
from hyperhive.runtimes.records import BoxRecord, Records
from hyperhive.runtimes.watches import Watch

KILL_SECONDS: Final = 5.0
"""How long killed processes may take to be gone before a stop or start gives up."""

_THREADS: Final = 8

T = TypeVar("T")


class LocalRuntime:
    """The port `Runtime` over processes of this machine."""

    def __init__(self, paths: HivePaths, clock: Clock, launcher: Launcher) -> None:
        self._paths = paths
        self._launcher = launcher
        self._clock = clock
        self._boot = processes.boot_id()
        self._records = Records(paths.records)
        self._watches: dict[str, Watch] = {}
        self._reasons: dict[str, str] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._starting: set[str] = set()
        self._starts: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._changed.set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hyperhive-boxes")

    @property
    def isolation(self) -> str:
        """What the launcher's boxes are kept by."""
        return self._launcher.isolation

    async def start(self, spec: BoxSpec) -> None:
        """Run the box; see `Runtime.start`."""
        if spec.paths != self._paths:
            raise InvalidError(
                f"Box {spec.name!r} is declared below {spec.state_dir} and {spec.run_dir}.",
                f"This runtime keeps {self._paths.state_dir} and {self._paths.run_dir}.",
            )
        # A start that is cancelled half-way would leave a process that nobody watches.
        task = asyncio.create_task(self._start(spec))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        await asyncio.shield(task)

    async def stop(self, name: str, grace_seconds: float) -> None:
        """End the box; see `Runtime.stop`."""
        async with self._locks[name]:
            try:
                record = await self._in_thread(self._records.read, name)
                if record is None or record.kind != self._launcher.kind:
                    return
                if grace_seconds > 0 and self._is_alive(record):
                    await self._ask_to_end(record, grace_seconds)
                await self._in_thread(self._end_what_is_left, record)
                self._unwatch(name)
                self._reasons.pop(record.incarnation, None)
                await self._in_thread(self._records.remove, name)
            finally:
                self._changed.set()

    async def observe(self) -> Mapping[str, Instance]:
        """See what is there; see `Runtime.observe`."""
        self._changed.clear()
        found: dict[str, Instance] = {}
        for record, is_alive in await self._in_thread(self._survey):
            if record.name in self._starting:
                continue
            if is_alive:
                self._adopt(record)
                found[record.name] = _instance(record, Phase.RUNNING)
            else:
                found[record.name] = await self._see_ended(record)
        return found

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give the end of the box's output; see `Runtime.logs`."""
        if name_fault(name) is not None:
            return []
        return await self._in_thread(environment.last_lines, self._paths.log(name), lines)

    async def changed(self) -> None:
        """Wait for a change; see `Runtime.changed`."""
        await self._changed.wait()

    def close(self) -> None:
        """Let go of all boxes; they run on, for the next server to find."""
        for name in tuple(self._watches):
            self._unwatch(name)
        self._threads.shutdown(wait=False)

    async def _start(self, spec: BoxSpec) -> None:
        async with self._locks[spec.name]:
            self._starting.add(spec.name)
            try:
                record = await self._in_thread(self._records.read, spec.name)
                if record is not None and self._is_alive(record):
                    if record.kind == self._launcher.kind:
                        self._watch(record)
                    _require_same(record, spec)
                    return
                if record is not None:
                    await self._in_thread(self._end_what_is_left, record)
                self._unwatch(spec.name)
                made, child = await self._in_thread(self._launch, spec)
                self._watches[spec.name] = self._new_watch(made, child)
                self._begin_guarding(made)
            finally:
                self._starting.discard(spec.name)
                self._changed.set()

    def _launch(self, spec: BoxSpec) -> tuple[BoxRecord, "subprocess.Popen[bytes]"]:
        record = BoxRecord(
            spec.name,
            uuid4().hex,
            spec.digest,
            self._clock.now(),
            self._boot,
            kind=self._launcher.kind,
            memory_bytes=spec.confinement.limits.memory_bytes,
        )
        try:
            self._records.write(record)
            launched = self._launcher.launch(spec)
            try:
                return self._complete(record, launched), launched.child
            except BaseException:
                launched.child.kill()
                launched.child.wait()
                raise
        except (OSError, HiveError) as error:
            self._end_what_is_left(record)
            with contextlib.suppress(OSError):
                self._records.remove(spec.name)
            raise _cannot_start(spec, error) from error

    def _complete(self, record: BoxRecord, launched: Launched) -> BoxRecord:
        # A child that has ended already is a zombie until it is reaped, so it is still found.
        found = processes.look_up(launched.child.pid)
        if found is None:
            raise ChildProcessError(f"process {launched.child.pid} was reaped by someone else")
        made = replace(record, pid=found.pid, kernel_start=found.kernel_start)
        if launched.harness is not None:
            harness = launched.harness
            made = replace(made, harness_pid=harness.pid, harness_start=harness.kernel_start)
        self._records.write(made)
        return made

    async def _ask_to_end(self, record: BoxRecord, grace_seconds: float) -> None:
        watch = self._watch(record)
        processes.send(*record.harness, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(watch.ended.wait(), grace_seconds)

    def _end_what_is_left(self, record: BoxRecord) -> None:
        watch = self._watches.get(record.name)
        is_ours = self._is_alive(record) or (watch is not None and watch.owns_session)
        marks = environment.marks_of(record.name, self._paths.socket(record.name))
        session = record.pid if is_ours else None
        survivors = processes.end_all(partial(processes.belonging, session, marks), KILL_SECONDS)
        if survivors:
            raise UnavailableError(
                f"Processes {sorted(survivors)} of {record.name!r} survive being killed.",
                "Look at what the kernel is waiting for; the hive tries again.",
            )

    def _survey(self) -> list[tuple[BoxRecord, bool]]:
        return [
            (record, self._is_alive(record))
            for record in self._records.read_all()
            if record.kind == self._launcher.kind
        ]

    def _is_alive(self, record: BoxRecord) -> bool:
        if record.pid == 0 or record.boot != self._boot:
            return False
        return processes.is_alive(record.pid, record.kernel_start)

    async def _see_ended(self, record: BoxRecord) -> Instance:
        """Tell a crash from an end that nobody saw, and note a crash for the next server."""
        if record.ended_at is not None:
            return _instance(record, Phase.FAILED)
        watch = self._watches.get(record.name)
        if watch is None or watch.record.incarnation != record.incarnation:
            return _instance(record, Phase.STOPPED)
        if record.pid != watch.record.pid:
            # The notes were read in the middle of its launch; since then it runs and is watched.
            return _instance(watch.record, Phase.RUNNING)
        lock = self._locks[record.name]
        if lock.locked():
            # It is being stopped or made anew: this end was asked for, or is about to be history.
            return _instance(record, Phase.STOPPED)
        async with lock:
            await watch.ended.wait()
            ended = replace(
                record,
                ended_at=watch.ended_at,
                exit_status=self._launcher.exit_status(watch.exit_status),
                because=self._reasons.pop(record.incarnation, None),
            )
            # A disk that is full must not hide what is seen, of this box or of the others.
            with contextlib.suppress(OSError):
                await self._in_thread(self._records.write, ended)
        return _instance(ended, Phase.FAILED)

    def _adopt(self, record: BoxRecord) -> None:
        """Watch what an earlier server started.

        A box that this one has touched since the notes were read is watched already, or gone.
        """
        if record.name not in self._watches and not self._locks[record.name].locked():
            self._watch(record)

    def _watch(self, record: BoxRecord) -> Watch:
        watch = self._watches.get(record.name)
        if watch is None or watch.record.incarnation != record.incarnation:
            self._unwatch(record.name)
            watch = self._watches[record.name] = self._new_watch(record)
            self._begin_guarding(record)
        return watch

    def _new_watch(
        self, record: BoxRecord, child: "subprocess.Popen[bytes] | None" = None
    ) -> Watch:
        return Watch(record, child, self._clock.now, self._changed.set)

    def _begin_guarding(self, record: BoxRecord) -> None:
        """See to what must be watched while this box runs; nothing, unless a kind has limits."""

    async def _end_because(self, record: BoxRecord, reason: str) -> None:
        """End a box that may not go on; it has failed then, for this reason."""
        self._reasons[record.incarnation] = f"it was ended: {reason}"
        # The reason first: who sees its end may look into its log at once.
        await self._in_thread(self._note_in_log, record.name, reason)
        processes.send(*record.harness, signal.SIGKILL)

    def _note_in_log(self, name: str, reason: str) -> None:
        with contextlib.suppress(OSError):
            log = environment.open_log(self._paths.log(name))
            try:
                os.write(log, f"hyperhive: this box was ended: {reason}\n".encode())
            finally:
                os.close(log)

    def _unwatch(self, name: str) -> None:
        watch = self._watches.pop(name, None)
        if watch is not None:
            watch.close()

    async def _in_thread(self, job: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(job, *arguments))


def _require_same(record: BoxRecord, spec: BoxSpec) -> None:
    if record.digest != spec.digest:
        raise ConflictError(
            f"Agent {spec.name!r} already runs, from another declaration.",
            "Stop it first, then start it as it is declared now.",
        )


def _cannot_start(spec: BoxSpec, error: OSError | HiveError) -> UnavailableError:
    reason = error.detail if isinstance(error, HiveError) else f"{error}."
    remedy = error.remedy if isinstance(error, HiveError) else ""
    return UnavailableError(
        f"Agent {spec.name!r} cannot be started: {reason}",
        remedy or "See what its declaration runs, and the room and rights in the state directory.",
    )


def _instance(record: BoxRecord, phase: Phase) -> Instance:
    return Instance(
        name=record.name,
        phase=phase,
        incarnation=record.incarnation,
        digest=record.digest,
        started_at=record.started_at,
        pid=record.harness[0] if phase is Phase.RUNNING else None,
        ended_at=record.ended_at,
        exit_status=record.exit_status,
        because=record.because,
    )
