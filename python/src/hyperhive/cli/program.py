"""The program as a table of commands, each imported when it is called.

The table is all that ``hyperhive --help`` needs. Every expected failure ends here: it becomes one
line on standard error (a JSON object with ``--json``) and an exit status.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

from hyperhive import __version__
from hyperhive.cli.options import HiveCommand, HiveGroup
from hyperhive.cli.output import print_refusal
from hyperhive.cli.settings import Settings
from hyperhive.domain.errors import HiveError, InvalidError


class Entry(NamedTuple):
    """Where a command is and what it does, in a line."""

    module: str
    attribute: str
    summary: str


SECTIONS: Final[dict[str, dict[str, Entry]]] = {
    "Run a hive": {
        "demo": Entry("servers", "demo", "Play a small hive in a temporary directory."),
        "up": Entry("servers", "up", "Run the server and the agents in the foreground."),
        "serve": Entry("servers", "serve", "Run the server alone."),
        "login-link": Entry("servers", "login_link", "Print a link that logs a browser in once."),
    },
    "Declare it": {
        "init": Entry("declarations", "init", "Write a commented starting point."),
        "check-config": Entry("declarations", "check_config", "Check a declaration."),
        "doctor": Entry("doctor", "doctor", "Say what is missing on this machine."),
        "plan": Entry("plans", "plan", "Say what the hive would do to be as declared."),
        "apply": Entry("plans", "apply", "Read the declaration again and act on it."),
        "login": Entry("credentials", "login", "Store a credential of an agent, or log it in."),
    },
    "Watch it": {
        "status": Entry("status", "status", "Show agents, alerts and what waits."),
        "events": Entry("events", "events", "Show what happened, or follow it live."),
        "turns": Entry("turns", "turns", "List an agent's turns, or show one."),
        "logs": Entry("logs", "logs", "Show what an agent's processes wrote."),
        "threads": Entry("threads", "threads", "Show what hangs: on an agent, or in the hive."),
        "quotas": Entry("threads", "quotas", "Show what an agent has used of its quotas."),
        "reminders": Entry("reminders", "reminders", "List reminders, cancel or retry one."),
        "audit": Entry("archive", "audit", "List who did what."),
    },
    "Agents": {
        "start": Entry("agents", "start", "Start agents, whatever stopped them."),
        "stop": Entry("agents", "stop", "Stop agents and hold them."),
        "restart": Entry("restarts", "restart", "Restart agents, or all of them in order."),
        "rebuild": Entry("restarts", "rebuild", "Make agents' boxes anew."),
        "pause": Entry("agents", "pause", "Start no further turn: an agent, or the hive."),
        "resume": Entry("agents", "resume", "Start turns again."),
        "cancel": Entry("agents", "cancel", "Cancel the turn that an agent runs."),
        "compact": Entry("agents", "compact", "Have an agent compact its context."),
        "new-session": Entry("agents", "new_session", "Have an agent begin a new conversation."),
        "model": Entry("agents", "model", "Show or choose the model an agent uses."),
        "spawn": Entry("spawning", "spawn", "Ask for a new agent."),
        "history": Entry("spawning", "history", "List what was deployed to a spawned agent."),
        "redeploy": Entry("spawning", "redeploy", "Deploy an earlier configuration again."),
        "update-inputs": Entry("spawning", "update_inputs", "Ask for the newest inputs."),
        "revive": Entry("spawning", "revive", "Bring a destroyed agent back."),
        "destroy": Entry("agents", "destroy", "Remove a spawned agent, keeping its state."),
        "purge": Entry("agents", "purge", "Delete what an agent that is gone left."),
    },
    "Decide": {
        "approvals": Entry("approvals", "approvals", "List what waits for your yes, or show it."),
        "approve": Entry("approvals", "approve", "Say yes to exactly what is shown."),
        "deny": Entry("approvals", "deny", "Say no, with a note."),
        "questions": Entry("questions", "questions", "List questions, or show one."),
        "answer": Entry("questions", "answer", "Answer a question."),
    },
    "Messages": {
        "send": Entry("messages", "send", "Send a message as the operator."),
        "messages": Entry("messages", "messages", "List messages, or show one."),
        "requeue": Entry("messages", "requeue", "Give a dead message another chance."),
        "drop": Entry("messages", "drop", "Give a dead message up for good."),
    },
    "Forge": {
        "forge": Entry("forge", "forge", "Show the forge, or make a token anew."),
    },
    "Keep it": {
        "backup": Entry("archive", "backup", "Back the hive's database up."),
        "restore": Entry("archive", "restore", "Put a backup in place."),
    },
    "Inside a box": {
        "agent": Entry("inside", "agent", "Run the harness: an agent's loop."),
        "mcp": Entry("inside", "mcp", "Bridge MCP from standard input to the agent's socket."),
    },
}
"""All commands, in the sections and the order in which help shows them."""


class Program(HiveGroup):
    """The top of the command line; knows its commands' names, imports them on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name all commands, in the order of their sections."""
        return [name for section in SECTIONS.values() for name in section]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        for section in SECTIONS.values():
            if entry := section.get(cmd_name):
                from importlib import import_module

                command = getattr(import_module(f"hyperhive.cli.{entry.module}"), entry.attribute)
                assert isinstance(command, (HiveCommand, HiveGroup))
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without importing what it names."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), entry.summary) for name, entry in section.items()]
                )


@click.command(cls=Program)
@click.version_option(__version__, prog_name="hyperhive")
def hyperhive() -> None:
    """Run a hive of AI coding agents and speak to it as its operator.

    Start with `hyperhive demo`, or with `hyperhive init` and `hyperhive up`. Each command has a
    --help of its own.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status; see `hyperhive.cli.main`."""
    settings = Settings()
    for stream in (sys.stdout, sys.stderr):
        # What agents write may hold characters that the terminal's encoding lacks.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = hyperhive.main(
            list(arguments), prog_name="hyperhive", standalone_mode=False, obj=settings
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "hyperhive"
        print_refusal(
            InvalidError(error.format_message(), f"See `{command} --help`."), settings, command
        )
        return error.exit_code
    except click.ClickException as error:
        print_refusal(HiveError(error.format_message()), settings)
        return error.exit_code
    except click.Abort:
        return 130
    except HiveError as error:
        print_refusal(error, settings)
        return 1
    except BrokenPipeError:
        # The reader, such as `head`, has enough; Python must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_refusal(HiveError(f"{where}{error.strerror or error}."), settings)
        return 1
    return status if isinstance(status, int) else 0
