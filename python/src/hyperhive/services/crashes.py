"""What is made of an agent's crashes: they are recorded, and those that do not pass are told.

One crash is mended by the next start and is no news. The second in a row is an alert, and so is
the one after which nothing is started any more. Either stands until the agent is there again.
"""

import json
from dataclasses import asdict
from typing import Final

from hyperhive.domain import rollout
from hyperhive.domain.agents import CONNECTED, AgentState
from hyperhive.domain.instances import Crash
from hyperhive.store import Row, Writing, alerts, lifecycle
from hyperhive.store import agents as rows

CRASHES_KEPT: Final = 100
"""More than any rule of restarting looks at."""
IN_A_ROW: Final = 2
"""So many crashes without a healthy run between them are more than an accident."""


def of(row: Row) -> tuple[Crash, ...]:
    """Give an agent's crashes, in the order in which they were recorded."""
    return tuple(Crash(**crash) for crash in json.loads(row.crashes_json))


def record(work: Writing, agent: str, crash: Crash) -> None:
    """Add a crash, unless one of the same incarnation is recorded or the agent is unknown.

    The agent is told in its next turn, if there was a box to lose.
    """
    row = rows.find(work, agent)
    if row is None:
        return
    known = of(row)
    if any(each.incarnation == crash.incarnation for each in known):
        return
    kept = (*known, crash)[-CRASHES_KEPT:]
    rows.set_crashes(work, agent, [asdict(each) for each in kept])
    if crash.had_run and row.note is None:
        lifecycle.change(work, agent, note=rollout.note(f"your box crashed ({crash.reason})"))


def tell(work: Writing, agent: str, state: AgentState) -> None:
    """Bring what the operator is told of an agent that is not up in line with its new state."""
    if state in CONNECTED or state is AgentState.STOPPED:
        alerts.clear_alert(work, _key(agent))
        alerts.clear_alert(work, key_of_restart(agent))
    elif state in (AgentState.BACKING_OFF, AgentState.CRASHED):
        row = rows.find(work, agent)
        if row is not None and row.present:
            _tell_crashes(work, agent, of(row), stays_down=state is AgentState.CRASHED)


def key_of_restart(agent: str) -> str:
    """Name the alert that a restart in order did not bring an agent back."""
    return f"restart:{agent}"


def _tell_crashes(
    work: Writing, agent: str, crashes: tuple[Crash, ...], *, stays_down: bool
) -> None:
    key = _key(agent)
    if not crashes or (len(crashes) < IN_A_ROW and not stays_down):
        alerts.clear_alert(work, key)
        return
    reason = crashes[-1].reason.rstrip(".")
    look = f"See what its box printed last: hyperhive logs {agent}."
    if stays_down:
        often = "once" if len(crashes) == 1 else f"{len(crashes)} times"
        text = f"{agent} has crashed {often} and stays down: {reason}. {look} "
        text += f"Mend it, then: hyperhive start {agent}"
        alerts.raise_alert(work, key, text, severity="error", agent=agent)
    else:
        text = f"{agent} does not stay up: {reason}. It is started again, each time later. {look}"
        alerts.raise_alert(work, key, text, agent=agent)


def _key(agent: str) -> str:
    return f"crashed:{agent}"
