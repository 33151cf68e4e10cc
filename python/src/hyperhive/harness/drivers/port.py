"""What a driver is.

To add a driver ``x``, add the module ``hyperhive.harness.drivers.x`` with a module-level
``driver`` that has the method below. Nothing else needs to know of it: a declaration that says
``kind = "x"`` finds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.box import Box
from hyperhive.harness.wire import DriverSettings, WorkTurn

Emit = Callable[[TurnEventKind, Mapping[str, Any]], None]
"""Adds an event to the turn's transcript. It never waits and never raises; texts over 16 KiB are
cut on the way."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """All a driver is told about one turn."""

    turn: WorkTurn
    prompt: str
    """The wake prompt, ready for the standard input of whatever answers it."""
    system_prompt: str
    settings: DriverSettings
    box: Box


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn consumed, as far as the driver was told; costs in US dollars."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended: one of ``hyperhive.domain.turns.REPORTABLE``, and why if not well."""

    outcome: TurnOutcome
    error: str | None = None
    usage: Usage | None = None
    tools: Mapping[str, int] = field(default_factory=dict)
    """How often each tool was used."""


class Driver(Protocol):
    """Runs one turn at a time.

    - Returning ``ok`` acks the turn's messages; an exception counts as ``failed`` with its text.
    - Cancellation is asyncio's: on ``CancelledError`` the driver ends everything it started,
      politely first (``processes.run_program`` does all of it), and re-raises, or returns a
      result whose usage and tools are kept; the outcome is then the loop's to say. A second
      cancellation means *now*.
    - The time limit is the loop's business, and comes as a cancellation.
    - ``rate_limited`` and ``needs_login`` rest on an exit status or a parsed error, never on
      text that an agent wrote.
    """

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn to its end."""
        ...
