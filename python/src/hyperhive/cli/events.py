"""``hyperhive events``: what happened, and what happens."""

import sys
from typing import TYPE_CHECKING

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, print_json_line
from hyperhive.cli.settings import Settings
from hyperhive.cli.telling import told
from hyperhive.client.answers import Event
from hyperhive.domain.errors import HiveError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

_PAGE = 500


@click.command(cls=HiveCommand)
@click.option("--follow", "-f", is_flag=True, help="Go on and print events as they happen.")
@click.option("--after", type=int, metavar="SEQ", help="Begin after this position.")
@click.option("--agent", metavar="NAME", help="Only events that concern this agent.")
@click.option("--kind", metavar="KIND", help="Only events of this kind, such as turn_ended.")
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=20,
    show_default=True,
    help="How many past events, unless --after says from where.",
)
@click.pass_obj
def events(
    settings: Settings,
    follow: bool,  # noqa: FBT001 - a flag of the command line
    after: int | None,
    agent: str | None,
    kind: str | None,
    limit: int,
) -> None:
    """Print the hive's events, the newest last; with --follow go on until Ctrl-C.

    A restart of the server is waited out: nothing is missed and nothing is told twice. With
    --json --follow each event is a line of JSON.
    """
    from hyperhive.client import StreamResetError

    with settings.client() as hive:
        if not follow:
            past = _past(hive, after, agent, kind, limit)
            if settings.as_json:
                print_json({"events": past})
            else:
                for event in past:
                    _show(event, settings)
            return
        start = hive.state()
        begin, epoch = after, start["epoch"]
        if begin is None:
            begin = start["seq"]
            for event in _past(hive, None, agent, kind, limit):
                if event["seq"] <= begin:
                    _show(event, settings)
        while True:
            try:
                for event in hive.events(begin, epoch=epoch, on_disconnect=_waiting):
                    if agent in (None, event["agent"]) and kind in (None, event["kind"]):
                        _show(event, settings)
            except StreamResetError as reset:
                print(f"hyperhive: {reset.detail} Following from now.", file=sys.stderr)
                start = hive.state()
                begin, epoch = start["seq"], start["epoch"]


def _past(
    hive: "OperatorClient", after: int | None, agent: str | None, kind: str | None, limit: int
) -> list[Event]:
    """Page backwards to the position, or to the limit, and give the events oldest first."""
    found: list[Event] = []
    before: int | None = None
    while after is not None or len(found) < limit:
        size = _PAGE if after is not None else min(_PAGE, limit - len(found))
        page = hive.history(before=before, limit=size, agent=agent, kind=kind)
        found += [event for event in page["events"] if after is None or event["seq"] > after]
        if not page["more"] or not page["events"]:
            break
        before = page["events"][-1]["seq"]
        if after is not None and before <= after:
            break
    return found[::-1]


def _show(event: Event, settings: Settings) -> None:
    if settings.as_json:
        print_json_line(event)
    else:
        print(f"{event['seq']:>7}  {clock(event['at'])}  {told(event)}", flush=True)


def _waiting(error: HiveError) -> None:
    print(f"hyperhive: {error.detail} Waiting for it to come back.", file=sys.stderr)
