"""Running an agent program within a turn, as often as the turn needs it.

A turn may take more than one run of the program: a conversation that is gone begins anew, one
that is too long is compacted first, a credential that was refused is tried once more. What the runs
consumed is added up; of the context, the newest measure counts.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.drivers.cli_ends import End, Trouble
from hyperhive.harness.drivers.cli_lines import LINE_BYTES_MAX, note
from hyperhive.harness.drivers.port import Emit, TurnResult, Usage
from hyperhive.harness.drivers.processes import Line, LineReader, run_program

_NOT_FOUND: Final = 127
_NOT_RUNNABLE: Final = 126


class Stream(Protocol):
    """Reads what one run of a program prints."""

    tools: Counter[str]
    refusals: int
    """How often the provider has refused the credential."""
    hopeless: End | None

    def take(self, line: Line) -> None:
        """Read a line of standard output."""
        ...

    def usage(self) -> Usage | None:
        """Return what the run consumed, as far as it was told."""
        ...

    def end(self, status: int) -> End:
        """Say how the run ended."""
        ...


class Alerts:
    """Hands events on to the transcript, and keeps the alerts among them."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.texts: list[str] = []

    def __call__(self, kind: TurnEventKind, data: Mapping[str, Any]) -> None:
        """Add an event, as `Emit` does."""
        if data.get("alert") is True:
            self.texts.append(str(data.get("text")))
        self._emit(kind, data)


class Runs:
    """The runs of one turn."""

    def __init__(self, emit: Alerts, directory: Path, environment: Mapping[str, str]) -> None:
        self._emit = emit
        self._directory = directory
        self._environment = environment
        self._usage: Usage | None = None
        self._tools: Counter[str] = Counter()
        self._context_tokens: int | None = None
        self._context_window: int | None = None

    @property
    def spent_usd(self) -> float:
        """What the runs so far have cost, as far as they told."""
        return (self._usage and self._usage.cost_usd) or 0.0

    async def run(
        self,
        argv: Sequence[str],
        prompt: str,
        stream: Stream,
        take_note: Callable[[Line], None] | None = None,
    ) -> End:
        """Run the program to its end, or end it when its stream says that it is hopeless.

        ``take_note`` gets the lines of standard error; they are notes otherwise.
        """
        last = ""

        def take_line(line: Line) -> None:
            stream.take(line)
            if stream.hopeless is not None and not running.cancelling():
                running.cancel()

        def take_error(line: Line) -> None:
            nonlocal last
            if line.text.strip():
                last = line.text.strip()
                (take_note or self._note)(line)

        running = asyncio.ensure_future(
            run_program(
                argv,
                directory=self._directory,
                environment=self._environment,
                stdin=prompt.encode("utf-8", "replace"),
                stdout=LineReader(take_line, LINE_BYTES_MAX),
                stderr=LineReader(take_error),
            )
        )
        status = 0
        try:
            status = await running
        except asyncio.CancelledError:
            if stream.hopeless is None or _is_cancelled():
                raise
        finally:
            self._tools += stream.tools
            self._usage = _sum(self._usage, stream.usage())
        if status in {_NOT_FOUND, _NOT_RUNNABLE}:
            return End(Trouble.OTHER, last or f"{argv[0]} cannot be run")
        end = stream.end(status)
        if end.trouble is Trouble.OTHER and last and last not in end.said:
            return End(Trouble.OTHER, f"{end.said} ({last[:300]})")
        return end

    async def run_twice_if_refused(self, run: Callable[[], Awaitable[tuple[End, Stream]]]) -> End:
        """Run, and once more if the provider refused the credential at once and but once.

        The programs try again by themselves, unless they are told not to. What has begun to
        use tools is not begun again.
        """
        end, stream = await run()
        if end.trouble is Trouble.NOT_LOGGED_IN and stream.refusals == 1 and not stream.tools:
            note(self._emit, "The credential was refused; it is tried once more.")
            end, _ = await run()
        return end

    def measured(self, tokens: int | None, window: int | None) -> None:
        """Keep and show what the conversation holds now; ``None`` is not known."""
        self._context_window = window or self._context_window
        if not tokens:
            return
        self._context_tokens = tokens
        of = f" of {self._context_window}" if self._context_window else ""
        note(
            self._emit,
            f"The conversation holds {tokens}{of} tokens.",
            context_tokens=tokens,
            context_window=self._context_window,
        )

    def result(self, end: End) -> TurnResult:
        """Put the end of the turn and all its runs into what the loop is told."""
        return self._whole(end.result(self._usage, self._tools))

    def cancelled(self) -> TurnResult:
        """Keep what the runs consumed until they were cancelled."""
        why = "It was cancelled."
        return self._whole(TurnResult(TurnOutcome.CANCELLED, why, self._usage, self._tools))

    def _whole(self, result: TurnResult) -> TurnResult:
        return replace(
            result,
            context_tokens=self._context_tokens,
            context_window=self._context_window,
            alerts=tuple(self._emit.texts),
        )

    def _note(self, line: Line) -> None:
        data: dict[str, object] = {"text": line.text, "source": "stderr"}
        self._emit(TurnEventKind.NOTE, {**data, "cut": True} if line.is_cut else data)


def _is_cancelled() -> bool:
    """Whether it is this task that someone cancelled, not the program that it ended itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    costs = [cost for cost in (one.cost_usd, other.cost_usd) if cost is not None]
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        sum(costs) if costs else None,
    )
