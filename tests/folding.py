"""The page's own modules, fed with a snapshot and what came after it, in a browser or Node.js."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from hyperhive.surfaces.dashboard import STATIC

Json = dict[str, Any]

FOLD: Final = """async ({place, start, listed, events, window, wanted}) => {
  const { fromSnapshot, apply } = await import(`${place}/state/state.js`);
  const { fromListing, apply: hang, inOrder } = await import(`${place}/state/threads.js`);
  const project = (state) => ({
    seq: state.seq,
    hive: state.hive,
    plan: state.plan,
    agents: Object.fromEntries(state.agents),
    messages: [...state.messages.rows.values()].slice(-window),
    dead: [...state.messages.dead.values()].sort((a, b) => a.id - b.id),
    unread: state.operator.unread,
    alerts: Object.fromEntries(state.alerts),
    tombstones: Object.fromEntries(state.tombstones),
    questions: [...state.questions.values()],
    approvals: [...state.approvals.values()],
    reminding: Object.fromEntries(state.reminders),
    forge: state.forge && {...state.forge.facts},
    pulls: Object.fromEntries(state.forge?.pulls ?? []),
  });
  let state = fromSnapshot(start);
  let threads = fromListing(listed);
  const seen = () => ({...project(state), threads: [...inOrder(threads).values()]});
  const states = wanted ? [] : [seen()];
  for (const event of events) {
    state = apply(state, event);
    threads = hang(threads, event, "alice");
    if (!wanted || wanted.includes(state.seq)) states.push(seen());
  }
  return states;
}"""
"""What the page's state is at first and after each event, or only at the positions wanted."""


def project(snapshot: Json) -> Json:
    """Give what a snapshot says, in the form that ``FOLD`` gives."""
    forge = snapshot["forge"]
    return {
        "seq": snapshot["seq"],
        "hive": {**snapshot["hive"], "stopping": False},
        "plan": snapshot["plan"],
        "agents": {agent["name"]: agent for agent in snapshot["agents"]},
        "messages": snapshot["messages"],
        "dead": sorted(snapshot["dead"], key=lambda message: int(message["id"])),
        "unread": snapshot["operator"]["unread"],
        "alerts": {alert["key"]: alert for alert in snapshot["alerts"]},
        "tombstones": {stone["name"]: stone for stone in snapshot["tombstones"]},
        "questions": snapshot["questions"],
        "approvals": snapshot["approvals"],
        "reminding": snapshot["reminders"]["counts"],
        "forge": {k: v for k, v in (forge or {}).items() if k != "pull_requests"} or None,
        "threads": sorted(
            snapshot.get("threads", ()), key=lambda t: (t["since"], t["kind"], t["id"])
        ),
        "pulls": {str(pull["id"]): pull for pull in (forge or {}).get("pull_requests", [])},
    }


def folded_by_node(
    place: Path, start: Json, events: list[Json], wanted: Sequence[int], window: int
) -> list[Any]:
    """Give what the page's state is at the positions wanted; skip the test without Node.js.

    ``place`` is an empty directory: there the modules are told to be such.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed on this machine")
    shutil.copytree(STATIC / "state", place / "state")
    (place / "package.json").write_text('{"type": "module"}')
    given = {"place": place.as_uri(), "start": start, "listed": [], "events": events}
    told = json.dumps({**given, "wanted": list(wanted), "window": window})
    script = f"""
      const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
      ({FOLD})(given).then((states) => console.log(JSON.stringify(states)));
    """
    done = subprocess.run([node, "-e", script], input=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    states: list[Any] = json.loads(done.stdout)
    return states
