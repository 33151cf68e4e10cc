"""What a driver is.

To add a driver ``x``, add the module ``hyperhive.harness.drivers.x`` with a module-level
``driver``, of a class derived from `Driver`. Nothing else needs to know of it: a declaration that
says ``kind = "x"`` finds it.
"""

from abc import abstractmethod
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
    """When it is ``fresh``, the driver forgets its conversation first, if it keeps one."""
    prompt: str
    """The wake prompt, ready for the standard input of whatever answers it."""
    system_prompt: str
    settings: DriverSettings
    """As declared, but for what the turn has of its own: its model, what it may cost."""
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
    context_tokens: int | None = None
    """What the last inference had before it and gave; never what the turn was billed for."""
    context_window: int | None = None
    """How many tokens the model takes."""
    resets_at: float | None = None
    """When a rate limit ends (unix time), if the provider said so."""
    alerts: tuple[str, ...] = ()
    """Of what the operator should be told although the turn went on."""


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
    - A credential that is refused is tried once more before the turn ``needs_login``.
    """

    @abstractmethod
    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the turn to its end: one with messages, or a checkpoint, whose prompt says so."""
        ...

    async def compact(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Make the conversation shorter, without a prompt; a driver that keeps none is done."""
        text = f"The driver {assignment.settings.kind} keeps no conversation to compact."
        emit(TurnEventKind.NOTE, {"text": text})
        return TurnResult(TurnOutcome.OK)
