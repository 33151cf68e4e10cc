"""``hyperhive status``: the hive at a glance."""

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, painted, print_json, printable, span, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import AgentSummary, Snapshot


@click.command(cls=HiveCommand)
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the agents, what waits in their inboxes, alerts and dead messages."""
    with settings.client() as hive:
        snapshot = hive.state()
    if settings.as_json:
        print_json(snapshot)
        return
    print(_headline(snapshot))
    print()
    print(
        table(
            ("AGENT", "ROLE", "DRIVER", "STATE", "SINCE", "TURN", "QUEUED", "DEAD", "STATUS"),
            [_row(agent) for agent in snapshot["agents"]],
        )
    )
    for alert in snapshot["alerts"]:
        who = f" {alert['agent']}:" if alert["agent"] else ""
        print(f"\n{painted(alert['severity'])}{who} {printable(alert['text'])}", end="")
    if snapshot["alerts"]:
        print()
    if dead := snapshot["dead"]:
        numbers = ", ".join(str(message["id"]) for message in dead)
        print(
            f"\n{painted('dead')} messages: {numbers} "
            "(`hyperhive messages show ID`, then `requeue ID` or `drop ID`)"
        )


def _headline(snapshot: Snapshot) -> str:
    hive = snapshot["hive"]
    unread = snapshot["operator"]["unread"]
    return (
        f"{printable(hive['name'])}, version {hive['version']}, "
        f"up {span(snapshot['at'] - hive['started_at'])}, "
        f"{len(snapshot['agents'])} agents, {unread} unread for you"
    )


def _row(agent: AgentSummary) -> tuple[object, ...]:
    turn, inbox = agent["turn"], agent["inbox"]
    said = agent["status"] or agent["reason"] or ""
    return (
        agent["name"],
        agent["role"],
        agent["driver"],
        agent["state"],
        clock(agent["since"]),
        turn["id"] if turn else "-",
        inbox["queued"] + inbox["leased"],
        inbox["dead"],
        said,
    )
