"""One runtime made of several: each box goes where its declaration says.

Whoever has a box keeps it until it is stopped: a box that runs in one runtime is never started in
another, so no agent is there twice.
"""

import asyncio
from collections.abc import Mapping

from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Instance, Phase
from hyperhive.domain.ports import Runtime


class ChoosingRuntime:
    """The port `Runtime` over others, by the kind of box that each of them makes."""

    def __init__(self, runtimes: Mapping[str, Runtime]) -> None:
        self._runtimes = dict(runtimes)
        self._changed = asyncio.Event()

    @property
    def isolation(self) -> str:
        """What keeps boxes apart, each kind's own word once."""
        return ", ".join(dict.fromkeys(found.isolation for found in self._runtimes.values()))

    def isolation_of(self, kind: str) -> str:
        """What keeps a box of this kind from the rest of the host."""
        return self._of(kind).isolation

    async def start(self, spec: BoxSpec) -> None:
        """Run the box where it belongs; see `Runtime.start`."""
        chosen = self._of(spec.runtime)
        try:
            for other in self._runtimes.values():
                if other is chosen:
                    continue
                box = (await other.observe()).get(spec.name)
                if box is not None and box.phase is Phase.RUNNING:
                    raise ConflictError(
                        f"Agent {spec.name!r} already runs, in another kind of box.",
                        "Stop it first, then start it as it is declared now.",
                    )
                if box is not None:
                    await other.stop(spec.name, 0)
        finally:
            # Looking there has used up the word that something changed.
            self._changed.set()
        await chosen.start(spec)

    async def stop(self, name: str, grace_seconds: float) -> None:
        """End the box, wherever it is; see `Runtime.stop`."""
        for runtime in self._runtimes.values():
            await runtime.stop(name, grace_seconds)

    async def observe(self) -> Mapping[str, Instance]:
        """See all boxes; of an agent that left traces in several, the one that runs."""
        self._changed.clear()
        found: dict[str, Instance] = {}
        for runtime in self._runtimes.values():
            for name, box in (await runtime.observe()).items():
                if name not in found or box.phase is Phase.RUNNING:
                    found[name] = box
        return found

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give the box's output; see `Runtime.logs`."""
        for runtime in self._runtimes.values():
            if found := await runtime.logs(name, lines):
                return found
        return []

    async def changed(self) -> None:
        """Wait for a change in any of them; see `Runtime.changed`."""
        waits = [self._changed.wait(), *(found.changed() for found in self._runtimes.values())]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, kind: str) -> Runtime:
        try:
            return self._runtimes[kind]
        except KeyError:
            raise UnavailableError(
                f"This machine makes no boxes of the kind {kind!r}.",
                f"It makes: {', '.join(self._runtimes) or 'none'}.",
            ) from None
