"""A program run by hand in an agent's box, while the agent starts no turn."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hyperhive.domain.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from hyperhive.cli.settings import Settings
    from hyperhive.client import OperatorClient
    from hyperhive.config import Agent, Hive

LOGINS: Final = {"claude": ("claude", "/login"), "codex": ("codex", "login")}
"""How the programs that drivers run are logged in, by the driver's kind."""
_POLL_SECONDS: Final = 0.25


def login_command(agent: "Agent") -> tuple[str, ...]:
    """Give the command by which an agent's program logs in; a declared program stands for it."""
    try:
        program, *arguments = LOGINS[str(agent.driver.kind)]
    except KeyError:
        raise InvalidError(
            f"The driver {agent.driver.kind} of {agent.name} has no login of its own.",
            "Name the program that has, after `--`.",
        ) from None
    return (*(agent.driver.command or (program,)), *arguments)


def visit(settings: "Settings", hive: "Hive", name: str, command: tuple[str, ...]) -> int:
    """Run a command in an agent's box, on this terminal, and give its status.

    The agent starts no turn meanwhile, and one that runs is waited for.
    """
    from hyperhive.reconcile.specs import box_specs
    from hyperhive.runtimes import visiting

    spec = box_specs(hive).get(name)
    if spec is None:
        raise InvalidError(
            f"{name} has no box that could be worked in from here.",
            "It must be enabled.",
        )
    box = replace(spec, argv=command)
    with settings.client() as client:
        return visiting.visit(box, _quiet(client, name), lambda: _go_on(client, name))


@contextmanager
def _quiet(client: "OperatorClient", name: str) -> Iterator[None]:
    """Have an agent start no turn within the block."""
    try:
        turn = client.visit(name)["turn"]
        if turn is not None:
            print(
                f"{name} runs turn {turn}. Waiting for its end; `hyperhive cancel {name}` ends it.",
                file=sys.stderr,
            )
        while turn is not None:
            time.sleep(_POLL_SECONDS)
            turn = client.visit(name)["turn"]
        yield
    finally:
        # A hive that has stopped meanwhile lets the visit end by its time.
        with suppress(UnavailableError):
            client.leave(name)


def _go_on(client: "OperatorClient", name: str) -> None:
    with suppress(UnavailableError):
        client.visit(name)
