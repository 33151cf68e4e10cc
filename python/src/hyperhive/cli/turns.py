"""``hyperhive turns``: what an agent did, turn by turn."""

import json
from typing import Any

import click

from hyperhive.cli.options import ListGroup
from hyperhive.cli.output import clock, print_json, printable, printable_lines, span, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import Turn, TurnEvent

_PAGE = 500


@click.group(cls=ListGroup)
def turns() -> None:
    """List the turns of an agent, or show one's transcript.

    `hyperhive turns AGENT` is `hyperhive turns list AGENT`.
    """


@turns.command("list")
@click.argument("agent")
@click.option("--before", type=int, metavar="ID", help="Only turns older than this one.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.pass_obj
def list_turns(settings: Settings, agent: str, before: int | None, limit: int) -> None:
    """List the turns of AGENT, the newest last."""
    with settings.client() as hive:
        page = hive.turns(agent, before=before, limit=limit)
    if settings.as_json:
        print_json(page)
        return
    shown = page["turns"][::-1]
    if not shown:
        print("No turns.")
        return
    if page["more"]:
        print(f"Older ones: --before {shown[0]['id']}")
    headings = ("ID", "STARTED", "TOOK", "OUTCOME", "MESSAGES", "COST", "TOOLS", "ERROR")
    print(table(headings, [_row(turn) for turn in shown]))


@turns.command()
@click.argument("turn_id", type=int, metavar="ID")
@click.pass_obj
def show(settings: Settings, turn_id: int) -> None:
    """Show the transcript of one turn."""
    lines: list[TurnEvent] = []
    with settings.client() as hive:
        more, after = True, None
        while more:
            page = hive.turn_events(turn_id, after=after, limit=_PAGE)
            lines += page["events"]
            more = page["more"] and bool(page["events"])
            after = lines[-1]["n"] if lines else None
    if settings.as_json:
        print_json({"events": lines})
        return
    if not lines:
        print("The turn has no transcript (yet, or any more).")
    for line in lines:
        print(f"{clock(line['at'])}  {line['kind']:<11}  {_said(line['data'])}")


def _row(turn: Turn) -> tuple[object, ...]:
    ended, usage = turn["ended_at"], turn["usage"] or {}
    cost = usage.get("cost_usd")
    return (
        turn["id"],
        clock(turn["started_at"]),
        "-" if ended is None else span(ended - turn["started_at"]),
        turn["outcome"] or "running",
        ",".join(str(number) for number in turn["messages"]) or "-",
        "-" if cost is None else f"{cost:.2f} USD",
        " ".join(f"{name}:{count}" for name, count in (turn["tools"] or {}).items()) or "-",
        turn["error"] or "",
    )


def _said(data: dict[str, Any]) -> str:
    text = data.get("text")
    if isinstance(text, str) and set(data) <= {"text", "cut"}:
        return printable_lines(text) + (" […]" if data.get("cut") else "")
    return printable(json.dumps(data, ensure_ascii=False))
