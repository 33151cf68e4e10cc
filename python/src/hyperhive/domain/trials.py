"""Whether an agent came up with a change: its box was made from it, and its harness said hello.

Pure: what was recorded before the change is compared with what is recorded now.
"""

from dataclasses import dataclass

from hyperhive.domain.agents import CONNECTED
from hyperhive.domain.instances import Recorded


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it went; without a ``failure`` it came up."""

    failure: str = ""


def verdict(
    before: Recorded, now: Recorded | None, *, is_with_change: bool = True
) -> Verdict | None:
    """Judge a trial, or say with ``None`` that it is too early.

    The box of before may end as it likes; the first crash of a later one decides. ``now`` is
    ``None`` for an agent that is no longer there. ``is_with_change`` says whether the box that runs
    now was made from the change: one that was on its way when the change came was not, and its
    hello says nothing.
    """
    if now is None:
        return Verdict("it was removed meanwhile")
    if now.held:
        return Verdict("it was stopped meanwhile")
    known = {before.incarnation, *(crash.incarnation for crash in before.crashes)}
    for crash in now.crashes:
        if crash.incarnation not in known:
            return Verdict(crash.reason)
    is_new = now.incarnation not in (None, before.incarnation)
    return Verdict() if is_new and is_with_change and now.state in CONNECTED else None


def late(now: Recorded | None) -> Verdict:
    """Word the verdict on what took too long."""
    state = now.state.value if now is not None and now.state is not None else "gone"
    return Verdict(f"it was not ready in time; it is {state}")
