"""The driver ``command``: any program answers the wake prompt on its standard input.

A line of its standard output is a text, a line of its standard error a note. Exit status 0 ends
the turn well; any other fails it, with the status and the last line of standard error as reason.
Its environment says how to reach the tools; see ``docs/drivers.md``.
"""

from typing import Final

from hyperhive.domain.turns import TurnEventKind, TurnOutcome
from hyperhive.harness.drivers.mcp_access import mcp_access
from hyperhive.harness.drivers.port import Assignment, Driver, Emit, TurnResult
from hyperhive.harness.drivers.processes import Line, LineReader, describe_exit, run_program


class CommandDriver(Driver):
    """Runs the declared command once a turn."""

    async def run(self, assignment: Assignment, emit: Emit) -> TurnResult:
        """Run the command in the agent's state directory."""
        settings = assignment.settings
        if not settings.command:
            return TurnResult(
                TurnOutcome.FAILED,
                "The agent's driver names no command. Set driver.command in its declaration.",
            )
        last_note = ""

        def take_text(line: Line) -> None:
            if line.text.strip():
                emit(TurnEventKind.TEXT, _data(line))

        def take_note(line: Line) -> None:
            nonlocal last_note
            if line.text.strip():
                last_note = line.text.strip()
                emit(TurnEventKind.NOTE, {**_data(line), "source": "stderr"})

        with mcp_access(assignment) as access:
            status = await run_program(
                (*settings.command, *settings.extra_args),
                directory=assignment.box.state,
                environment={**access.environment, "HYPERHIVE_TURN_KIND": assignment.turn.kind},
                stdin=assignment.prompt.encode("utf-8", "replace"),
                stdout=LineReader(take_text),
                stderr=LineReader(take_note),
            )
        if status == 0:
            return TurnResult(TurnOutcome.OK)
        reason = f": {last_note[:500]}" if last_note else "."
        return TurnResult(
            TurnOutcome.FAILED, f"{settings.command[0]} ended with {describe_exit(status)}{reason}"
        )


def _data(line: Line) -> dict[str, object]:
    return {"text": line.text, "cut": True} if line.is_cut else {"text": line.text}


driver: Final[Driver] = CommandDriver()
