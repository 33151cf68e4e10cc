"""Runs a program that a script names, as a person at the agent's keyboard would."""

import subprocess
from collections.abc import Sequence


class ProgramError(Exception):
    """The program could not be run, or did not end in its time."""


def run_program(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a program to its end, without input; give its status and what it printed, both streams.

    Raises `ProgramError` when it cannot be started or does not end within ``seconds``; then it
    has been killed.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{command[0]} did not end in {seconds:g} s.") from None
    except (OSError, ValueError) as error:
        raise ProgramError(f"{command[0]} cannot be run: {error}.") from error
    return done.returncode, done.stdout.strip()
