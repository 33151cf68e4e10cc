"""What a box was found to be, beside what was promised of it: an alert where the two differ."""

from collections.abc import Callable, Mapping
from typing import Any

from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.isolation import differences, expected, facts, remarks
from hyperhive.store import Store, Writing, alerts, lifecycle
from hyperhive.store.transaction import dumps


class Walls:
    """Judges what harnesses find when they look at their boxes from inside.

    ``specs`` gives what is declared of the boxes, ``namespaces`` are the server's own.
    """

    def __init__(
        self,
        store: Store,
        specs: Callable[[], Mapping[str, BoxSpec]],
        namespaces: Mapping[str, str],
    ) -> None:
        self._store = store
        self._specs = specs
        self._namespaces = namespaces

    async def judge(self, agent: str, probe: object) -> None:
        """Record what a box was found to be; where it is not as promised, raise an alert."""
        spec = self._specs().get(agent)
        if spec is None or probe is None:
            # A harness that is still looking says hello first, and tells what it saw when it knows.
            return
        promises = expected(spec, self._namespaces)
        found = differences(probe, promises)
        shown: dict[str, Any] = {
            "runtime": spec.runtime,
            "differences": list(found),
            "remarks": list(remarks(probe, promises)),
            "facts": list(facts(probe, promises)),
        }

        def job(work: Writing) -> None:
            lifecycle.note_probe(work, agent, dumps(shown), shown)
            if found:
                text = f"The box of {agent} is not as promised: {' '.join(found)}"
                alerts.raise_alert(work, f"box:{agent}", text, severity="error", agent=agent)
            else:
                alerts.clear_alert(work, f"box:{agent}")

        await self._store.write(job)
