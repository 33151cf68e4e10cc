"""``hyperhive plan`` and ``apply``: what would be done, and doing it."""

from pathlib import Path
from typing import Any

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import painted, print_json, printable, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import Plan


@click.command(cls=HiveCommand)
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.pass_obj
def plan(settings: Settings, file: Path | None) -> None:
    """Say what the hive would do to make what runs what is declared; do nothing.

    With FILE, say what it would do with that declaration in place of its own.
    """
    with settings.client() as hive:
        found = hive.plan(file.resolve() if file is not None else None)
    if settings.as_json:
        print_json(found)
    else:
        _print_plan(found)


@click.command(cls=HiveCommand)
@click.pass_obj
def apply(settings: Settings) -> None:
    """Have the hive read its declaration again now, and act on what changed.

    The plan is printed first. A hive also does this by itself when its declaration changes.
    """
    with settings.client() as hive:
        if not settings.as_json:
            _print_plan(hive.plan())
        applied = hive.apply()
    if settings.as_json:
        print_json(applied)
    else:
        changes = _changes(applied["agents"])
        print(f"Applied: {changes}." if changes else "Applied.")


def _print_plan(plan: Plan) -> None:
    for warning in plan["warnings"]:
        print(f"{painted('warning')}: {printable(warning)}")
    if not plan["actions"]:
        print("Nothing to do: what runs is what is declared.")
        return
    rows = [(step["action"], step["agent"], step["reason"]) for step in plan["actions"]]
    print(table(("ACTION", "AGENT", "REASON"), rows))


def _changes(agents: dict[str, Any]) -> str:
    """Word what changed, whether it is told by agent or by kind of change."""
    told = [
        f"{name} {', '.join(map(str, what)) if isinstance(what, list) else what}"
        for name, what in agents.items()
        if what
    ]
    return printable("; ".join(told))
