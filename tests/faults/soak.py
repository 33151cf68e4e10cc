"""Kills a hive's server under load, again and again, and checks that nothing was lost.

    python -m tests.faults.soak --cycles 1000 [--seed 7] [--boxes]

With ``--boxes`` two of the agents live in boxes of bubblewrap, which outlive the servers.
Prints what it found as JSON, and exits with 1 if anything is wrong. The seed decides what is sent
and when the server is killed; the machine decides the rest.
"""

import argparse
import functools
import json
import logging
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from tests.demos import Player, boxed_player
from tests.faults.hives import Follower, HiveOfProcesses, until
from tests.faults.quick_server import QuickServer
from tests.faults.storm import Storm, drivers, faults
from tests.walls import open_directory

KILLED_AT_START: Final = 0.2
"""The share of servers that are killed before they have answered anybody."""
KILLED_AT_ANSWER: Final = 0.5
"""The share of servers that are killed the moment they have answered somebody: what they answered
must then be on disk already."""
START_SECONDS: Final = 0.15
LIFE_SECONDS: Final = 0.6
BOXED_LIFE_SECONDS: Final = 2.0
"""Boxes need a little to find a server again, and shall work when it is killed."""
CALM_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did and found; times in seconds."""

    seed: int
    cycles: int
    killed_at_start: int
    accepted: int
    arrived: int
    redelivered: int
    repeated_sends: int
    turns_failed_on_purpose: int
    events: int
    seconds: float
    start_median: float
    start_worst: float
    faults: list[str]


def run(
    seed: int,
    cycles: int,
    tell: Callable[[str], object] = lambda _line: None,
    *,
    player: Player | None = None,
) -> Report:
    """Run one storm through ``cycles`` kills, and say what came of it.

    With a ``player`` the agents with a harness live in that user's boxes.
    """
    chance = random.Random(seed)
    longest = LIFE_SECONDS if player is None else BOXED_LIFE_SECONDS
    began = time.monotonic()
    starts: list[float] = []
    at_start = 0
    with HiveOfProcesses(drivers(boxed=player is not None), player=player) as hive:
        server = QuickServer(hive, with_agents=player is not None)
        follower = Follower(hive)
        _start(hive, server)
        follower.start()
        with Storm(hive, seed, boxed=player is not None) as storm:
            for cycle in range(cycles):
                _live(chance.uniform(0.0, longest))
                if chance.random() < KILLED_AT_ANSWER:
                    storm.ledger.wait_for_news(longest)
                server.signal(signal.SIGKILL)
                server.start()
                if chance.random() < KILLED_AT_START:
                    at_start += 1
                    _live(chance.uniform(0.0, START_SECONDS))
                else:
                    starts.append(_wait_for(hive, server))
                if cycle % 100 == 99:
                    tell(f"{cycle + 1} cycles, {len(storm.ledger.accepted)} messages accepted")
                if storm.ledger.errors:
                    break
            starts.append(_wait_for(hive, server))
            storm.calm(CALM_SECONDS)
        # One that waits to connect again would not notice that it is to stop.
        with hive.operator() as operator:
            seq = operator.state()["seq"]
        until(lambda: follower.reached(seq), "the dashboard has caught up")
        follower.stop()
        server.signal(signal.SIGTERM)
        follower.end()
        server.close()
        ledger = storm.ledger
        found = faults(ledger, hive.paths.state_dir / "hive.db")
        if follower.seqs != list(range(1, len(follower.seqs) + 1)):
            found.append("the operator's stream has gaps or repeats")
        if found:
            hive.print_output()
    arrivals = [arrival for each in ledger.arrived.values() for arrival in each]
    return Report(
        seed=seed,
        cycles=cycles,
        killed_at_start=at_start,
        accepted=len(ledger.accepted),
        arrived=len(arrivals),
        redelivered=sum(arrival.redelivered for arrival in arrivals),
        repeated_sends=ledger.repeats,
        turns_failed_on_purpose=ledger.failed_on_purpose,
        events=len(follower.seqs),
        seconds=round(time.monotonic() - began, 1),
        start_median=round(statistics.median(starts), 3),
        start_worst=round(max(starts), 3),
        faults=found,
    )


def _start(hive: HiveOfProcesses, server: QuickServer) -> None:
    server.start()
    _wait_for(hive, server)


def _wait_for(hive: HiveOfProcesses, server: QuickServer) -> float:
    began = time.monotonic()
    hive.ready(server.is_running)
    return time.monotonic() - began


def _live(seconds: float) -> None:
    """Let the storm go on for so long: the moment of a kill is what is random here."""
    threading.Event().wait(seconds)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--boxes", action="store_true")
    given = parser.parse_args()
    logging.getLogger("hyperhive").addHandler(logging.NullHandler())
    with open_directory() as directory:
        player = boxed_player(directory) if given.boxes else None
        tell = functools.partial(print, file=sys.stderr)
        report = run(given.seed, given.cycles, tell, player=player)
    sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
