"""What is recorded of an agent's life beside its state: pauses, holds, wishes, what comes next.

A transient (an agent that is being restarted) is not a flag: it is the wish to replace one very
incarnation of its box, so it is over when another one runs, whatever happened in between.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from hyperhive import bus
from hyperhive.domain import pauses as rules
from hyperhive.domain.actors import SYSTEM, Actor
from hyperhive.domain.events import EventKind
from hyperhive.domain.pauses import Cause, Pause
from hyperhive.domain.turns import TurnKind
from hyperhive.store import tables
from hyperhive.store.transaction import Asking, Row, Writing, dumps

HIVE_PAUSES: Final = "pauses"
ROLLOUT: Final = "rollout"
MEASURED: Final = "bytes"
PLAN: Final = "plan"

_a = tables.agent.c
_m = tables.meta.c


def change(work: Writing, name: str, **values: Any) -> None:
    """Set columns of an agent's row."""
    work.execute(update(tables.agent).where(_a.name == name).values(**values))


def pauses_of(row: Row) -> tuple[Pause, ...]:
    """Give the pauses of an agent, over ones included."""
    return rules.read(json.loads(row.pauses_json))


def pause(work: Writing, row: Row, new: Pause, actor: Actor | str) -> int:
    """Pause an agent, or say anew why it is paused; return the event's ``seq``."""
    stored = rules.with_pause(_pauses_now(work, row), new)
    change(work, row.name, pauses_json=dumps([each.as_json() for each in stored]))
    work.wake(bus.inbox(row.name))
    return work.record(EventKind.AGENT_PAUSED, actor, {"pause": new.as_json()}, agent=row.name)


def resume(work: Writing, row: Row, cause: Cause, actor: Actor | str) -> bool:
    """End an agent's pause of a cause; ``False`` when there was none."""
    before = _pauses_now(work, row)
    after = rules.without(before, cause)
    if before == after:
        return False
    change(work, row.name, pauses_json=dumps([each.as_json() for each in after]))
    work.wake(bus.inbox(row.name))
    work.record(EventKind.AGENT_RESUMED, actor, {"cause": cause.value}, agent=row.name)
    return True


def _pauses_now(work: Writing, row: Row) -> tuple[Pause, ...]:
    """Read the pauses anew: one transaction may set and end several of one agent."""
    text = work.execute(select(_a.pauses_json).where(_a.name == row.name)).scalar()
    return rules.read(json.loads(text or "[]"))


def hive_pauses(asking: Asking) -> tuple[Pause, ...]:
    """Give the pauses of the whole hive, over ones included."""
    return rules.read(json.loads(kept(asking, HIVE_PAUSES) or "[]"))


def pause_hive(work: Writing, new: Pause, names: Iterable[str], actor: Actor | str) -> int:
    """Pause the whole hive; return the event's ``seq``."""
    stored = rules.with_pause(hive_pauses(work), new)
    keep(work, HIVE_PAUSES, dumps([each.as_json() for each in stored]))
    _wake_all(work, names)
    return work.record(EventKind.HIVE_PAUSED, actor, {"pause": new.as_json()})


def resume_hive(work: Writing, cause: Cause, names: Iterable[str], actor: Actor | str) -> bool:
    """End the hive's pause of a cause; ``False`` when there was none."""
    before = hive_pauses(work)
    after = rules.without(before, cause)
    if before == after:
        return False
    keep(work, HIVE_PAUSES, dumps([each.as_json() for each in after]))
    _wake_all(work, names)
    work.record(EventKind.HIVE_RESUMED, actor, {"cause": cause.value})
    return True


def hold(work: Writing, row: Row, actor: Actor) -> int:
    """Record that the operator wants an agent stopped; return the event's ``seq``."""
    change(work, row.name, held_by=actor.name, held_at=work.now)
    work.wake(bus.LIFECYCLE)
    told = {"by": actor.name, "at": work.now}
    return work.record(EventKind.AGENT_HELD, actor, told, agent=row.name)


def unhold(work: Writing, row: Row, actor: Actor) -> int:
    """Record that an agent may run, whatever its crashes were; return the event's ``seq``."""
    change(work, row.name, held_by=None, held_at=None, crashes_json="[]")
    work.wake(bus.LIFECYCLE)
    return work.record(EventKind.AGENT_UNHELD, actor, {}, agent=row.name)


def replace(work: Writing, row: Row, reason: str, actor: Actor | str) -> bool:
    """Wish for the box that runs now to be made anew; ``False`` when none runs."""
    if row.incarnation is None:
        return False
    wish = {"incarnation": row.incarnation, "reason": reason}
    change(work, row.name, replace_json=dumps(wish))
    work.wake(bus.LIFECYCLE)
    told = {"action": "restarting", "reason": reason}
    work.record(EventKind.TRANSIENT_SET, actor, told, agent=row.name)
    return True


def note_incarnation(work: Writing, row: Row, incarnation: str | None) -> None:
    """Record which box of an agent runs; a wish to replace an earlier one is over."""
    if row.incarnation == incarnation:
        return
    values: dict[str, Any] = {"incarnation": incarnation}
    wish = wish_of(row)
    if wish is not None and wish["incarnation"] != incarnation:
        values["replace_json"] = None
        told = {"action": "restarting"}
        work.record(EventKind.TRANSIENT_CLEARED, SYSTEM, told, agent=row.name)
    change(work, row.name, **values)
    work.wake(bus.LIFECYCLE)


def wish_of(row: Row) -> Mapping[str, str] | None:
    """Give the wish to replace an incarnation: ``incarnation`` and ``reason``."""
    if row.replace_json is None:
        return None
    found: dict[str, str] = json.loads(row.replace_json)
    return found


def errands_of(row: Row) -> tuple[TurnKind, ...]:
    """Give the turns that come before the next work, in order."""
    return tuple(TurnKind(kind) for kind in json.loads(row.errands_json))


def set_errands(work: Writing, name: str, kinds: Sequence[TurnKind]) -> None:
    """Set the turns that come before the next work."""
    change(work, name, errands_json=dumps([kind.value for kind in kinds]))
    work.wake(bus.inbox(name))


def note_context(work: Writing, row: Row, tokens: int | None, window: int | None) -> None:
    """Record how full an agent's context is, ``None`` where that is not known any more."""
    if (row.context_tokens, row.context_window) == (tokens, window):
        return
    change(work, row.name, context_tokens=tokens, context_window=window)
    context = {"tokens": tokens, "window": window} if tokens is not None else None
    told = {"context": context}
    work.record(EventKind.AGENT_CONTEXT_CHANGED, row.name, told, agent=row.name)


def kept(asking: Asking, key: str) -> str | None:
    """Give a fact of the hive as a whole."""
    found = asking.execute(select(_m.value).where(_m.key == key)).scalar()
    return str(found) if found is not None else None


def keep(work: Writing, key: str, value: str | None) -> None:
    """Set a fact of the hive as a whole, or forget it."""
    work.execute(delete(tables.meta).where(_m.key == key))
    if value is not None:
        work.execute(insert(tables.meta), {"key": key, "value": value})


def measured(asking: Asking) -> dict[str, int]:
    """Give what each agent's files take, in bytes, as it was told last."""
    found: dict[str, int] = json.loads(kept(asking, MEASURED) or "{}")
    return found


def note_measured(work: Writing, name: str, size: int | None) -> None:
    """Record what an agent's files take, and tell of it; ``None`` forgets it."""
    known = measured(work)
    if size is None:
        known.pop(name, None)
    else:
        known[name] = size
        work.record(EventKind.AGENT_MEASURED, SYSTEM, {"bytes": size}, agent=name)
    keep(work, MEASURED, dumps(known))


def rollout(asking: Asking) -> dict[str, Any] | None:
    """Give the record of the rollout that is under way."""
    text = kept(asking, ROLLOUT)
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def set_rollout(work: Writing, record: Mapping[str, Any] | None) -> int:
    """Store how far a rollout is (``None``: there is none any more); return the ``seq``."""
    keep(work, ROLLOUT, dumps(dict(record)) if record is not None else None)
    work.wake(bus.LIFECYCLE)
    return work.record(EventKind.ROLLOUT_CHANGED, SYSTEM, {"rollout": record})


def plan(asking: Asking) -> list[dict[str, str]]:
    """Give what the reconciler does now, as it was told last."""
    found: list[dict[str, str]] = json.loads(kept(asking, PLAN) or "[]")
    return found


def set_plan(work: Writing, actions: Sequence[Mapping[str, str]]) -> int:
    """Store what the reconciler does, and tell of it; return the ``seq``."""
    keep(work, PLAN, dumps(actions) if actions else None)
    return work.record(EventKind.PLAN_CHANGED, SYSTEM, {"plan": list(actions)})


def _wake_all(work: Writing, names: Iterable[str]) -> None:
    for name in names:
        work.wake(bus.inbox(name))


def note_probe(work: Writing, name: str, text: str, shown: Mapping[str, Any]) -> None:
    """Record what an agent's box was found to be, and tell of it where that is news."""
    known = work.execute(select(_a.probe_json).where(_a.name == name)).scalar()
    if known == text:
        return
    change(work, name, probe_json=text)
    work.record(EventKind.BOX_PROBED, SYSTEM, {"probe": dict(shown)}, agent=name)
