"""``hyperhive status``: the hive at a glance."""

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, painted, print_json, printable, size, span, table
from hyperhive.cli.settings import Settings
from hyperhive.cli.telling import model_of, paused, share
from hyperhive.client.answers import AgentSummary, Pause, Rollout, Snapshot, Tombstone


@click.command(cls=HiveCommand)
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the agents, why they wait, what waits for them, alerts and what is left of others."""
    with settings.client() as hive:
        snapshot = hive.state()
    if settings.as_json:
        print_json(snapshot)
        return
    print(_headline(snapshot))
    for pause in _standing(snapshot["hive"]["pauses"], snapshot["at"]):
        print(f"The hive is {printable(pause)} (`hyperhive resume`)")
    if rollout := snapshot["hive"]["rollout"]:
        print(f"{painted('restarting')}: {printable(_progress(rollout))}")
    print()
    print(
        table(
            (
                *("AGENT", "ROLE", "DRIVER", "MODEL", "STATE", "SINCE", "TURN"),
                *("QUEUED", "DEAD", "CONTEXT", "STATUS"),
            ),
            [_row(agent, snapshot["at"]) for agent in snapshot["agents"]],
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
    if gone := snapshot["tombstones"]:
        print("\nGone, with their state kept (`hyperhive purge NAME` deletes it):")
        print(table(("NAME", "ROLE", "SINCE", "SIZE", "WAS"), [_tombstone(each) for each in gone]))


def _headline(snapshot: Snapshot) -> str:
    hive = snapshot["hive"]
    unread = snapshot["operator"]["unread"]
    return (
        f"{printable(hive['name'])}, version {hive['version']}, "
        f"up {span(snapshot['at'] - hive['started_at'])}, "
        f"{len(snapshot['agents'])} agents, {unread} unread for you, "
        f"{hive['spent_today_usd']:.2f} USD today"
    )


def _progress(rollout: Rollout) -> str:
    done = f"{len(rollout['restarted'])} of {len(rollout['order'])} back"
    parts = [
        ("being restarted", rollout["going"]),
        ("waiting", rollout["waiting"]),
        ("failed", rollout["failed"]),
    ]
    rest = [f"{word}: {', '.join(names)}" for word, names in parts if names]
    phase = "turns may end" if rollout["phase"] == "draining" else None
    return "; ".join([rollout["reason"], *([phase] if phase else []), done, *rest])


def _row(agent: AgentSummary, now: float) -> tuple[object, ...]:
    turn, inbox = agent["turn"], agent["inbox"]
    return (
        agent["name"],
        agent["role"],
        agent["driver"],
        model_of(agent["model"], agent["declared_model"]),
        agent["state"],
        clock(agent["since"]),
        turn["id"] if turn else "-",
        inbox["queued"] + inbox["leased"],
        inbox["dead"],
        share(agent["context"]),
        "; ".join(_said(agent, now)),
    )


def _said(agent: AgentSummary, now: float) -> list[str]:
    held = agent["held"]
    marks = [
        agent["transient"],
        f"held by {held['by']} since {clock(held['at'])}" if held else None,
        *_standing(agent["pauses"], now),
        agent["status"] or agent["reason"],
    ]
    return [mark for mark in marks if mark]


def _standing(pauses: list[Pause], now: float) -> list[str]:
    return [
        paused(pause["reason"]) + (f", until {clock(pause['until'])}" if pause["until"] else "")
        for pause in pauses
        if pause["until"] is None or pause["until"] > now
    ]


def _tombstone(tombstone: Tombstone) -> tuple[object, ...]:
    return (
        tombstone["name"],
        tombstone["role"],
        clock(tombstone["removed_at"]),
        size(tombstone["bytes"]),
        tombstone["description"],
    )
