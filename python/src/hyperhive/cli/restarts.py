"""``hyperhive restart`` and ``rebuild``: agents in order, followed to the end."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, printable
from hyperhive.cli.settings import Settings
from hyperhive.cli.stories import RestartStory
from hyperhive.client.answers import Done, Snapshot
from hyperhive.domain.errors import ConflictError, HiveError, UnavailableError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

REBUILT = "the operator rebuilds the agents"

_names = click.argument("names", nargs=-1, metavar="[NAME]...")
_everyone = click.option("--all", "everyone", is_flag=True, help="All agents that run.")
_reason = click.option("--reason", metavar="TEXT", help="Why; the agents are told.")
_no_wait = click.option("--no-wait", is_flag=True, help="Return once it is under way.")


@click.command(cls=HiveCommand)
@_names
@_everyone
@_reason
@_no_wait
@click.pass_obj
def restart(
    settings: Settings,
    names: tuple[str, ...],
    everyone: bool,  # noqa: FBT001 - a flag of the command line
    reason: str | None,
    no_wait: bool,  # noqa: FBT001 - a flag of the command line
) -> int:
    """Restart agents, or --all, in order.

    Running turns get time to end; what has not ended then is cut, and its messages come again. The
    manager comes first and is told what is coming, then the others, a few at a time. That is
    followed here until it is finished; Ctrl-C ends the following, not the restart. Exits 1 if
    somebody did not come back.
    """
    chosen = _chosen(names, everyone=everyone)

    def begin(hive: "OperatorClient") -> Done:
        if chosen is not None and len(chosen) == 1:
            return hive.restart(chosen[0], reason=reason)
        return hive.restart_hive(chosen, reason=reason)

    return _carry_out(settings, begin, no_wait=no_wait)


@click.command(cls=HiveCommand)
@_names
@_everyone
@_no_wait
@click.pass_obj
def rebuild(
    settings: Settings,
    names: tuple[str, ...],
    everyone: bool,  # noqa: FBT001 - a flag of the command line
    no_wait: bool,  # noqa: FBT001 - a flag of the command line
) -> int:
    """Make the boxes of agents, or of --all, anew from what is configured now.

    The declaration is read again first. It goes on and is followed as `hyperhive restart` is. Where
    the system of a single agent has to be built first, that is waited for; exits 1 if it cannot be.
    One that crashed too often starts again.
    """
    chosen = _chosen(names, everyone=everyone)
    only = chosen[0] if chosen is not None and len(chosen) == 1 else None

    def begin(hive: "OperatorClient") -> Done:
        if only is not None:
            return hive.rebuild(only)
        hive.apply()
        return hive.restart_hive(chosen, reason=REBUILT)

    return _carry_out(settings, begin, no_wait=no_wait, fails=f"system:{only}" if only else "")


def _chosen(names: tuple[str, ...], *, everyone: bool) -> list[str] | None:
    if everyone and names:
        raise click.UsageError("Names and --all exclude each other.")
    if not everyone and not names:
        raise click.UsageError("Say which agents, or --all.")
    return None if everyone else list(dict.fromkeys(names))


def _carry_out(
    settings: Settings,
    begin: "Callable[[OperatorClient], Done]",
    *,
    no_wait: bool,
    fails: str = "",
) -> int:
    """Begin a restart and follow it, unless an alert of the key ``fails`` says that none comes."""
    with settings.client() as hive:
        before = hive.state()
        done = begin(hive)
        if done.get("order") == []:
            if settings.as_json:
                print_json(done)
            else:
                print(f"{done['agent']} does not run: it starts from what is configured now.")
            return 0
        if no_wait:
            if settings.as_json:
                print_json(done)
            else:
                print("The restart is under way: see `hyperhive status`.")
            return 0
        story = _followed(hive, before, settings, fails)
    if settings.as_json:
        print_json(story.outcome())
    return int(bool(story.failed))


def _followed(
    hive: "OperatorClient", before: Snapshot, settings: Settings, fails: str
) -> RestartStory:
    """Tell the restart that began after a snapshot, to its end.

    Raises `ConflictError` with the words of the alert of the key ``fails``.
    """
    story = RestartStory(before)
    for event in hive.events(before["seq"], epoch=before["epoch"], on_disconnect=_waiting):
        if event["kind"] == "alert_raised" and event["data"]["key"] == fails:
            raise ConflictError(event["data"]["text"])
        for line in story.tell(event):
            if not settings.as_json:
                print(f"{clock(event['at'])}  {printable(line)}", flush=True)
        if story.is_over:
            return story
    raise UnavailableError("The events ended.", "See `hyperhive status`.")


def _waiting(error: HiveError) -> None:
    click.echo(f"hyperhive: {error.detail} Waiting for it to come back.", err=True)
