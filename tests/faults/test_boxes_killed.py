"""The server is killed at random points while agents in boxes work: nothing is lost."""

import os
import random

import pytest

from tests.demos import Player
from tests.faults import soak
from tests.promises import promise

CYCLES = int(os.environ.get("HYPERHIVE_BOX_CYCLES", "8"))


@pytest.mark.xdist_group("alone")
@promise("M1", "M15", "E2")
def test_kills_of_the_server_lose_nothing_of_agents_in_boxes(player: Player) -> None:
    seed = random.SystemRandom().randrange(2**32)

    report = soak.run(seed, CYCLES, player=player)

    print(report)
    again = f"python -m tests.faults.soak --boxes --cycles {CYCLES} --seed {seed}"
    assert report.faults == [], again
    assert report.accepted > 5 * CYCLES, "hardly any load"
