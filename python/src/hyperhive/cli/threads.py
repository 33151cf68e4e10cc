"""What hangs on whom, and what agents may still use: ``threads``, ``quotas``."""

import click

from hyperhive.cli.options import HiveCommand, ListGroup
from hyperhive.cli.output import clock, print_json, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import QuotaStanding, Threads
from hyperhive.domain.threads import ThreadKind


@click.group(cls=ListGroup)
def threads() -> None:
    """Show what hangs: questions, approvals, reminders, undelivered messages, pull requests.

    `hyperhive threads` alone is `hyperhive threads list`.
    """


@threads.command("list")
@click.option("--agent", metavar="NAME", help="Only what hangs on this agent.")
@click.pass_obj
def list_threads(settings: Settings, agent: str | None) -> None:
    """List what is open, the oldest first."""
    with settings.client() as hive:
        found = hive.threads(agent)
    if settings.as_json:
        print_json(found)
    else:
        print(_listed(found))


@threads.command()
@click.argument("kind", type=click.Choice([kind.value for kind in ThreadKind]))
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def cancel(settings: Settings, kind: str, number: int) -> None:
    """Withdraw what a thread stands for; whoever it concerns is told."""
    with settings.client() as hive:
        done = hive.cancel_thread(kind, number)
    if settings.as_json:
        print_json(done)
    else:
        print(f"The {kind.replace('_', ' ')} {number} is {done['state']}.")


@click.command(cls=HiveCommand)
@click.argument("agent")
@click.pass_obj
def quotas(settings: Settings, agent: str) -> None:
    """Show what AGENT may use, and what is left of it."""
    with settings.client() as hive:
        found = hive.quotas(agent)
    if settings.as_json:
        print_json(found)
        return
    rows = [(name, *_standing(each)) for name, each in found["quotas"].items()]
    print(table(("QUOTA", "LIMIT", "USED", "LEFT", "A MINUTE", "FREES"), rows))


def _listed(found: Threads) -> str:
    if not found["threads"]:
        return "Nothing hangs."
    rows = [
        (
            thread["kind"],
            thread["id"],
            clock(thread["since"]),
            thread["agent"],
            thread["with"] or "-",
            thread["summary"],
        )
        for thread in found["threads"]
    ]
    lines = [table(("KIND", "ID", "SINCE", "AGENT", "WITH", "ABOUT"), rows)]
    lines += [f"There are more of kind {kind}." for kind in found["more"]]
    return "\n".join(lines)


def _standing(each: QuotaStanding) -> tuple[object, ...]:
    frees = each.get("frees_in_seconds")
    used, left = each.get("used"), each.get("left")
    per_minute = each.get("per_minute")
    return (
        f"{each['limit']:g}",
        "-" if used is None else used,
        "-" if left is None else f"{left:g}",
        "-" if per_minute is None else f"{per_minute:g}",
        f"in {frees:.1f} s" if frees else "-",
    )
