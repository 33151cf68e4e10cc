"""Thirty agents from nothing: a new state directory, `hyperhive up`, until all are ready.

Once with a process for each agent, once with a bubblewrap box. The clock starts before the
server's process does, and an agent is ready when the server has recorded it: its harness has said
hello and waits for work. What each took is printed as it comes.

Bar: all ready within 60 s, in boxes of either kind.
"""

import statistics
import sys
from pathlib import Path

from tests.bench.boxed import KINDS, up
from tests.bench.measure import Figure, Scale, Skipped

AGENTS = 30


def figures(scale: Scale, where: Path) -> list[Figure]:
    """Measure."""
    agents = scale.pick(AGENTS, 4)
    found = []
    for kind in KINDS:
        what = f"{agents} agents from nothing, {kind}"
        try:
            with up(agents, where, kind) as started:
                took = {name: at - started.begun for name, at in started.ready().items()}
        except Skipped as reason:
            found.append(Figure.skip("starts", what, reason))
            continue
        each = ", ".join(f"{name} {took[name]:.1f}" for name in sorted(took, key=took.__getitem__))
        print(f"{what}, seconds to ready: {each}", file=sys.stderr)
        found += [
            Figure("starts", f"{what}: all ready", max(took.values()), "s", at_most=60),
            Figure("starts", f"{what}: the first", min(took.values()), "s"),
            Figure("starts", f"{what}: half of them", statistics.median(took.values()), "s"),
        ]
    return found
