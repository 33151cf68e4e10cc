"""Boxes that exist in this object only: the twin for tests, and for planning without acting.

It keeps every promise of the port that can be kept without processes, and has handles for what
the world would do: a box ends by itself, writes a line, or cannot be started.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.ports import Clock


class MemoryRuntime:
    """The port `Runtime` without anything behind it.

    ``calls`` lists every start and stop that was asked for, as ``("start", name)``, in order.
    """

    def __init__(self, clock: Clock) -> None:
        self.calls: list[tuple[str, str]] = []
        self._clock = clock
        self._boxes: dict[str, Instance] = {}
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._refusals: dict[str, str] = {}
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self._changed.set()

    @property
    def isolation(self) -> str:
        """Nothing runs, so nothing is kept apart."""
        return "none"

    async def start(self, spec: BoxSpec) -> None:
        """Pretend to run the box; see `Runtime.start`."""
        self.calls.append(("start", spec.name))
        box = self._boxes.get(spec.name)
        if box is not None and box.phase is Phase.RUNNING:
            if box.digest != spec.digest:
                raise ConflictError(
                    f"Agent {spec.name!r} already runs, from another declaration.", "Stop it first."
                )
            return
        if spec.name in self._refusals:
            self._boxes.pop(spec.name, None)
            raise UnavailableError(
                f"Agent {spec.name!r} cannot be started: {self._refusals[spec.name]}."
            )
        number = next(self._numbers)
        self._put(
            Instance(
                spec.name, Phase.RUNNING, f"memory-{number}", spec.digest, self._clock.now(), number
            )
        )

    async def stop(self, name: str, grace_seconds: float) -> None:  # noqa: ARG002 - part of the port
        """Forget the box; see `Runtime.stop`."""
        self.calls.append(("stop", name))
        self._boxes.pop(name, None)
        self._changed.set()

    async def observe(self) -> Mapping[str, Instance]:
        """See what is there; see `Runtime.observe`."""
        self._changed.clear()
        return dict(self._boxes)

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give the last lines that were said; see `Runtime.logs`."""
        return self._lines[name][-lines:] if lines > 0 else []

    async def changed(self) -> None:
        """Wait for a change; see `Runtime.changed`."""
        await self._changed.wait()

    def end(self, name: str, exit_status: int | None) -> None:
        """Let a running box end by itself."""
        self._put(
            replace(
                self._boxes[name],
                phase=Phase.FAILED,
                pid=None,
                ended_at=self._clock.now(),
                exit_status=exit_status,
            )
        )

    def say(self, name: str, line: str) -> None:
        """Let a box write a line of output."""
        self._lines[name].append(line)

    def refuse(self, name: str, reason: str) -> None:
        """Let every start of this box fail from now on."""
        self._refusals[name] = reason

    def allow(self, name: str) -> None:
        """Let starts of this box succeed again."""
        self._refusals.pop(name, None)

    def _put(self, box: Instance) -> None:
        self._boxes[box.name] = box
        self._changed.set()
