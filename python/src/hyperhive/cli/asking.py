"""Asking before something is lost: on a terminal a question, elsewhere an option that says yes."""

import sys

import click

from hyperhive.domain.errors import InvalidError


def agreed(question: str, *, yes: bool) -> bool:
    """Ask whether to go ahead; ``yes`` is the answer that was given beforehand.

    Raises `InvalidError` where nobody is there to answer. The question is written to standard
    error, so that standard output stays what the command is for.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidError(
            f"This asks first, and standard input is no terminal: {question}",
            "Say --yes if that is what you want.",
        )
    return click.confirm(question, err=True)
