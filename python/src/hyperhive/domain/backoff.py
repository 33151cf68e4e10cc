"""When a box that crashed may start again.

The first crash costs 5 s, each further one twice as much, up to 10 min. Five crashes within
15 min are a crash loop: nothing starts until the operator says so. A run of 10 min is healthy and
makes its agent's crashes forgotten; whoever keeps the list of crashes clears it then, so every
rule here is about the crashes since.

A crash that lies in the future means that the clock was set back. Nobody waits for it, because
that could take for ever.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RestartRules:
    """The numbers of the rules above; times in seconds.

    With ``loop_crashes`` 1 a box that ended is never started again without the operator.
    """

    first_delay_seconds: float = 5.0
    longest_delay_seconds: float = 600.0
    loop_crashes: int = 5
    loop_window_seconds: float = 900.0
    healthy_seconds: float = 600.0

    @property
    def crashes_worth_keeping(self) -> int:
        """How many of the latest crashes decide everything; older ones change nothing."""
        doublings = 0
        while 0 < self.first_delay_seconds * 2.0**doublings < self.longest_delay_seconds:
            doublings += 1
        return max(self.loop_crashes, doublings + 1)


DEFAULT_RULES: Final = RestartRules()


def delay_seconds(crashes: int, rules: RestartRules = DEFAULT_RULES) -> float:
    """Say how long after the last of ``crashes`` crashes the next start is due."""
    if crashes <= 0:
        return 0.0
    doublings = min(crashes, rules.crashes_worth_keeping) - 1
    return min(rules.first_delay_seconds * 2.0**doublings, rules.longest_delay_seconds)


def is_crash_loop(crashes: Sequence[float], rules: RestartRules = DEFAULT_RULES) -> bool:
    """Whether the latest crashes came so fast that only the operator may start the box again.

    ``crashes`` are times in the order they were recorded. The answer does not depend on the
    present time: a crash loop does not heal by waiting.
    """
    latest = crashes[-rules.loop_crashes :]
    if len(latest) < rules.loop_crashes:
        return False
    return max(latest) - min(latest) <= rules.loop_window_seconds


def wait_seconds(
    crashes: Sequence[float], now: float, rules: RestartRules = DEFAULT_RULES
) -> float:
    """Say how long a start must still wait: 0 when it is due, infinity in a crash loop."""
    if is_crash_loop(crashes, rules):
        return math.inf
    if not crashes or crashes[-1] > now:
        return 0.0
    return max(0.0, crashes[-1] + delay_seconds(len(crashes), rules) - now)


def is_healthy_run(started_at: float, until: float, rules: RestartRules = DEFAULT_RULES) -> bool:
    """Whether a run was long enough for earlier crashes to be forgotten."""
    return until - started_at >= rules.healthy_seconds
