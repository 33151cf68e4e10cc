"""``reminders``: find, show, cancel and retry what agents want to be reminded of."""

from collections.abc import Mapping
from typing import Final

import click

from hyperhive.cli.moments import moment
from hyperhive.cli.options import ListGroup
from hyperhive.cli.output import clock, print_json, printable, printable_lines, span, table
from hyperhive.cli.settings import Settings
from hyperhive.domain.reminders import ReminderState

_FACTS: Final = (
    *("approval", "attempts", "deliveries", "skipped", "last_error", "file_path", "written"),
    "message",
)


@click.group(cls=ListGroup)
def reminders() -> None:
    """List reminders, show one, cancel or retry it.

    `hyperhive reminders` alone is `hyperhive reminders list`.
    """


@reminders.command("list")
@click.option("--agent", metavar="NAME", help="Only this agent's.")
@click.option(
    "--state", type=click.Choice([state.value for state in ReminderState]), help="Only in it."
)
@click.option("--text", metavar="TEXT", help="Only those whose text holds this.")
@click.option("--due-after", type=moment, metavar="TIME", help="Due at this time or later.")
@click.option("--due-before", type=moment, metavar="TIME", help="Due before this time.")
@click.option("--before", type=int, metavar="ID", help="Only reminders older than this one.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.pass_obj
def list_reminders(
    settings: Settings,
    agent: str | None,
    state: str | None,
    text: str | None,
    due_after: float | None,
    due_before: float | None,
    before: int | None,
    limit: int,
) -> None:
    """List reminders, the newest last, below how many each agent has.

    A TIME is a date (2026-11-28T09:00), a distance from now (+2h, -1d) or seconds since the epoch.
    """
    with settings.client() as hive:
        page = hive.reminders(
            agent=agent,
            state=state,
            text=text,
            due_after=due_after,
            due_before=due_before,
            before=before,
            limit=limit,
        )
    if settings.as_json:
        print_json(page)
        return
    if line := _counted({agent: page["counts"].get(agent, {})} if agent else page["counts"]):
        print(line)
    shown = page["reminders"][::-1]
    if not shown:
        print("No reminders.")
        return
    if page["more"]:
        print(f"Older ones: --before {shown[0]['id']}")
    rows = [
        (r["id"], r["agent"], r["state"], clock(r["due_at"]), r["last_error"] or r["preview"])
        for r in shown
    ]
    print(table(("ID", "AGENT", "STATE", "DUE", "TEXT OR ERROR"), rows))


@reminders.command()
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def show(settings: Settings, number: int) -> None:
    """Show one reminder with its times, its attempts, its last error and its whole text."""
    with settings.client() as hive:
        found = hive.reminder(number)
    if settings.as_json:
        print_json(found)
        return
    print(f"Reminder {number} of {printable(found['agent'])}: {found['state']}")
    for key in ("due_at", "next_at", "delivered_at"):
        print(f"  {key:<13}{clock(found[key])}")
    every = found["repeat_every_seconds"]
    facts = {
        "repeats": "-" if every is None else f"every {span(every)}",
        "late": "yes" if found["late"] else "no",
        **{key: found[key] for key in _FACTS},
    }
    for key, fact in facts.items():
        print(f"  {key:<13}{printable('-' if fact is None else str(fact))}")
    print(f"\n{printable_lines(found['body'])}")


def _counted(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Say what each agent has that is not over, such as ``alice: 3 pending, 1 failed``."""
    said = {
        agent: ", ".join(f"{count} {state}" for state, count in of_agent.items() if count)
        for agent, of_agent in sorted(counts.items())
    }
    return "; ".join(f"{printable(agent)}: {each}" for agent, each in said.items() if each)


@reminders.command()
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def cancel(settings: Settings, number: int) -> None:
    """Take a reminder back."""
    with settings.client() as hive:
        done = hive.cancel_reminder(number)
    if settings.as_json:
        print_json(done)
    else:
        print(f"Reminder {number} is {done['state']}.")


@reminders.command()
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def retry(settings: Settings, number: int) -> None:
    """Have a reminder delivered at once that was given up."""
    with settings.client() as hive:
        done = hive.retry_reminder(number)
    if settings.as_json:
        print_json(done)
    else:
        print(f"Reminder {number} is {done['state']} again.")
