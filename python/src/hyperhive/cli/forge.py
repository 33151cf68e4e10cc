"""``hyperhive forge``: the git forge, its pull requests, and new tokens."""

import click

from hyperhive.cli.options import ListGroup
from hyperhive.cli.output import clock, print_json, printable, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import ForgeListing


@click.group(cls=ListGroup)
def forge() -> None:
    """Show the git forge and its pull requests, or make a token anew.

    `hyperhive forge` alone is `hyperhive forge list`.
    """


@forge.command("list")
@click.pass_obj
def list_forge(settings: Settings) -> None:
    """Show how the forge stands, and its pull requests."""
    with settings.client() as hive:
        found = hive.forge()
    if settings.as_json:
        print_json(found)
    else:
        print(_listed(found))


@forge.command()
@click.argument("name")
@click.pass_obj
def rotate(settings: Settings, name: str) -> None:
    """Make the token of the account NAME anew; the one before it is void at once.

    Its agent's git finds the new one by itself.
    """
    with settings.client() as hive:
        done = hive.rotate_token(name)
    if settings.as_json:
        print_json(done)
    else:
        print(f"{printable(name)} has a new token.")


def _listed(found: ForgeListing) -> str:
    standing = found["forge"]
    if standing is None:
        return "This hive has no forge."
    where = printable(standing["url"] or "not reached yet")
    lines = [f"{standing['kind']} at {where}: {standing['state']}"]
    if standing["reason"]:
        lines.append(printable(standing["reason"]))
    rows = [
        (
            f"{pull['repository']}#{pull['number']}",
            pull["state"],
            pull["author"],
            ", ".join(pull["reviewers"]),
            clock(pull["at"]),
            printable(pull["title"]),
        )
        for pull in standing["pull_requests"]
    ]
    if rows:
        lines.append(table(("PULL REQUEST", "STATE", "BY", "REVIEW BY", "SINCE", "TITLE"), rows))
    else:
        lines.append("No pull requests.")
    return "\n".join(lines)
