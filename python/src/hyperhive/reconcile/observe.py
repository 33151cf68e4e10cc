"""Looks at the three worlds at once, and turns the ends of boxes into recorded crashes.

A crash is recorded before anything is planned from it, and the box's traces are cleared only by
the plan that follows, so a server that dies in between records it again, and the incarnation
makes that one crash and not two.
"""

import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from hyperhive.domain.backoff import DEFAULT_RULES, is_healthy_run
from hyperhive.domain.instances import BoxSpec, Crash, Instance, Phase, Recorded
from hyperhive.domain.plan import NOTHING_RECORDED
from hyperhive.domain.ports import Clock, Conditions, Runtime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What is declared, recorded and observed at ``now``, seconds since the epoch."""

    declared: Mapping[str, BoxSpec]
    recorded: Mapping[str, Recorded]
    observed: Mapping[str, Instance]
    now: float

    def without(self, names: AbstractSet[str]) -> "View":
        """Leave out agents about which nothing can be said at the moment."""
        return replace(
            self,
            declared={name: spec for name, spec in self.declared.items() if name not in names},
            recorded={name: kept for name, kept in self.recorded.items() if name not in names},
            observed={name: seen for name, seen in self.observed.items() if name not in names},
        )


async def look(
    declared: Callable[[], Mapping[str, BoxSpec]],
    conditions: Conditions,
    runtime: Runtime,
    clock: Clock,
    busy: AbstractSet[str] = frozenset(),
) -> View:
    """Observe, record what crashed and what has run well, and give the view after that.

    Agents in ``busy`` are being acted upon and are left out. So is, with a log entry, one whose
    crash cannot be recorded: to plan without it could start a box that must wait.

    ``declared`` is asked last: a wish for another box comes after what it is to be made from, and
    to observe may take long enough for both to come.
    """
    observed = await runtime.observe()
    recorded = await conditions.recorded()
    view = View(declared(), recorded, observed, clock.now()).without(busy)
    changed: set[str] = set()
    failed: set[str] = set()
    for name, memory in view.recorded.items():
        runs = _running(view.observed.get(name))
        if memory.incarnation != runs:
            await conditions.note_incarnation(name, runs)
            changed.add(name)
    for name, instance in view.observed.items():
        if name not in view.declared:
            continue
        try:
            if await _settle(view, instance, conditions):
                changed.add(name)
        except Exception:  # noqa: BLE001 - one agent must not blind the hive to the others
            _log.exception("what became of %s cannot be recorded; it is left as it is", name)
            failed.add(name)
    if changed:
        recorded = await conditions.recorded()
        view = replace(view, declared=declared(), recorded=recorded)
    return view.without(busy | failed)


def _running(instance: Instance | None) -> str | None:
    if instance is None or instance.phase is not Phase.RUNNING:
        return None
    return instance.incarnation


async def _settle(view: View, instance: Instance, conditions: Conditions) -> bool:
    """Bring the record of one agent's crashes up to date; say whether it changed."""
    name = instance.name
    crashes = view.recorded.get(name, NOTHING_RECORDED).crashes
    rules = view.declared[name].restart if name in view.declared else DEFAULT_RULES
    known = any(crash.incarnation == instance.incarnation for crash in crashes)
    until = view.now if instance.ended_at is None else instance.ended_at
    ran_well = is_healthy_run(instance.started_at, until, rules)
    match instance.phase:
        case Phase.RUNNING if crashes and ran_well and not known:
            await conditions.clear_crashes(name)
            return True
        case Phase.FAILED if not known:
            if crashes and ran_well:
                await conditions.clear_crashes(name)
            await conditions.record_crash(name, Crash(until, instance.incarnation, instance.ending))
            return True
        case _:
            return False
