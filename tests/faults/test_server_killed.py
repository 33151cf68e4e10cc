"""The server is killed at random points under load, and nobody who was answered loses anything."""

import random

import pytest

from tests.faults import soak
from tests.promises import promise

CYCLES = 50


@pytest.mark.xdist_group("alone")
@promise("M1", "M15", "E2")
def test_fifty_kills_under_load_lose_nothing_and_repeat_nothing_silently() -> None:
    seed = random.SystemRandom().randrange(2**32)

    report = soak.run(seed, CYCLES)

    print(report)
    assert report.faults == [], f"python -m tests.faults.soak --cycles {CYCLES} --seed {seed}"
    assert report.accepted > 5 * CYCLES, "hardly any load"
