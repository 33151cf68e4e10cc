"""``hyperhive forge``: the git forge, its pull requests, new tokens, and the operator's way in."""

import click

from hyperhive.cli.options import ListGroup
from hyperhive.cli.output import clock, print_json, printable, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import ForgeListing


@click.group(cls=ListGroup)
def forge() -> None:
    """Show the git forge and what is on it, make a token anew, or get in yourself.

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
@click.pass_obj
def repositories(settings: Settings) -> None:
    """List the repositories, as they were at the hive's last look."""
    with settings.client() as hive:
        found = hive.repositories()["repositories"]
    if settings.as_json:
        print_json({"repositories": found})
        return
    rows = [
        (
            printable(each["name"]),
            str(each["open_pulls"]),
            "empty" if each["empty"] else clock(each["updated_at"]) if each["updated_at"] else "",
            printable(each["clone_url"]),
        )
        for each in found
    ]
    print(table(("REPOSITORY", "OPEN", "CHANGED", "CLONE FROM"), rows) if rows else "None yet.")


@forge.command()
@click.pass_obj
def password(settings: Settings) -> None:
    """Give your own account on the forge another password, and show it once.

    The one before it is void. It logs you in to the forge's pages, and git asks for it.
    """
    with settings.client() as hive:
        made = hive.forge_password()
    if settings.as_json:
        print_json(made)
    else:
        print(
            f"{printable(made['url'])}\naccount   {made['account']}\npassword  {made['password']}"
        )


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
