"""``hyperhive logs``: what an agent's processes wrote, and write."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import print_json, print_json_line, printable_lines
from hyperhive.cli.settings import Settings
from hyperhive.domain.errors import UnavailableError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

LOOK_SECONDS: Final = 1.0
LINES_MAX: Final = 2000
"""What the server gives at most, and what each look takes in while following: what is written
faster than that is cut, and said so."""


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(1, LINES_MAX),
    default=100,
    show_default=True,
    help="How many of the last lines.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on and print lines as they are written.")
@click.pass_obj
def logs(
    settings: Settings,
    name: str,
    lines: int,
    follow: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Print the last lines that an agent's processes wrote.

    With --follow go on until Ctrl-C; with --json each line is then a line of JSON.
    """
    with settings.client() as hive:
        if not follow:
            found = hive.logs(name, lines=lines)
            if settings.as_json:
                print_json(found)
            else:
                _show(found["lines"], settings)
            return
        _follow(hive, name, lines, settings)


def _follow(hive: "OperatorClient", name: str, lines: int, settings: Settings) -> None:
    seen = hive.logs(name, lines=LINES_MAX)["lines"]
    _show(seen[-lines:], settings)
    is_lost = False
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            now = hive.logs(name, lines=LINES_MAX)["lines"]
        except UnavailableError as error:
            if not is_lost:
                print(f"hyperhive: {error.detail} Waiting for it to come back.", file=sys.stderr)
            is_lost = True
            continue
        is_lost = False
        fresh = written_since(seen, now)
        if seen and len(fresh) == len(now) == LINES_MAX:
            print("hyperhive: Lines were written too fast; some are missing.", file=sys.stderr)
        _show(fresh, settings)
        seen = now


def written_since(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Give the lines of ``now`` behind the longest end of ``before`` that it begins with."""
    for kept in range(min(len(before), len(now)), 0, -1):
        if list(before[-kept:]) == list(now[:kept]):
            return list(now[kept:])
    return list(now)


def _show(lines: Sequence[str], settings: Settings) -> None:
    for line in lines:
        if settings.as_json:
            print_json_line({"line": line})
        else:
            print(printable_lines(line), flush=True)
