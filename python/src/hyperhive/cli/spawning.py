"""Commands about spawned agents: ask for one, bring one back, see and repeat its deployments."""

from typing import TYPE_CHECKING

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, printable, table
from hyperhive.cli.settings import Settings
from hyperhive.client.answers import Redeployed, Snapshot
from hyperhive.domain.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.argument("description", metavar="DESCRIPTION")
@click.option(
    "--system-prompt", metavar="TEXT", default="", help="What it is told beyond its role."
)
@click.option("--model", metavar="MODEL", help="Its model; the manager's if absent.")
@click.pass_obj
def spawn(
    settings: Settings, name: str, description: str, system_prompt: str, model: str | None
) -> None:
    """Ask for a new agent NAME, which is there once you approve it."""
    with settings.client() as hive:
        asked = hive.spawn(name, description, system_prompt=system_prompt, model=model)
    if settings.as_json:
        print_json(asked)
    else:
        number = asked["id"]
        print(f"Approval {number} asks for it: `hyperhive approve {number}` makes the agent.")


@click.command(cls=HiveCommand)
@click.pass_obj
def update_inputs(settings: Settings) -> None:
    """Look for the newest inputs that spawned agents are built from, and ask for them.

    What they change to is shown with the approval. It is refused where no agent is built from a
    flake.
    """
    with settings.client() as hive:
        asked = hive.update_inputs()
    if settings.as_json:
        print_json(asked)
    else:
        number = asked["id"]
        print(f"Approval {number} shows what changes: `hyperhive approve {number}` takes it.")


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.pass_obj
def revive(settings: Settings, name: str) -> None:
    """Bring a spawned agent that was destroyed back, as it was."""
    with settings.client() as hive:
        done = hive.revive(name)
    if settings.as_json:
        print_json(done)
    else:
        print(printable(f"{name} is an agent of the hive again and starts."))


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.pass_obj
def history(settings: Settings, name: str) -> None:
    """List what was deployed to a spawned agent, the newest last."""
    with settings.client() as hive:
        listed = hive.deployments(name)
    if settings.as_json:
        print_json(listed)
        return
    rows = [
        (clock(each["at"]), each["commit"][:12], " ".join(each["tags"]), each["subject"])
        for each in listed["deployments"][::-1]
    ]
    print(table(("AT", "COMMIT", "TAGS", "SUBJECT"), rows))


@click.command(cls=HiveCommand)
@click.argument("name", metavar="NAME")
@click.argument("revision", metavar="REVISION")
@click.option("--no-wait", is_flag=True, help="Return once the hive has begun.")
@click.pass_obj
def redeploy(
    settings: Settings,
    name: str,
    revision: str,
    no_wait: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Deploy to a spawned agent again what was deployed to it once.

    REVISION is a commit's hash, its beginning, or a tag such as deployed/7: `hyperhive history`
    lists them. Where its system is no longer there it is built first; then the agent is restarted
    with it, and it is deployed when the agent is ready. That is waited for; Ctrl-C ends the
    waiting, not the rest. Exits 1 if the agent did not come up.
    """
    with settings.client() as hive:
        before = hive.state()
        done = hive.redeploy(name, revision)
        deployed = None if no_wait else _deployed(hive, before, done)
    if settings.as_json:
        print_json({**done, "deployed": deployed})
    elif deployed is None:
        print(printable(f"{name} is to run {revision} again: see `hyperhive history {name}`."))
    else:
        print(printable(f"{name} runs {revision} again, deployed as {deployed[:12]}."))


def _deployed(hive: "OperatorClient", before: Snapshot, done: Redeployed) -> str:
    """Wait until an agent came up with what it is restarted with, and give the new commit.

    Raises `ConflictError` with the reason where it did not.
    """
    name = str(done["agent"])
    (agent,) = [each for each in before["agents"] if each["name"] == name]
    earlier, is_tried = agent["spawned"]["revision"], False
    for event in hive.events(done["seq"], epoch=before["epoch"]):
        data = event["data"]
        if event["kind"] == "alert_raised" and data["key"] == f"deploy:{name}":
            raise ConflictError(data["text"])
        if event["agent"] != name:
            continue
        if event["kind"] == "agent_removed":
            raise ConflictError(f"{name} was removed meanwhile.")
        if event["kind"] == "agent_changed":
            revision = str(data["agent"]["spawned"]["revision"])
            if revision == earlier and is_tried:
                raise ConflictError(f"{name} runs what it ran before.", "See `hyperhive status`.")
            if revision not in {earlier, done["revision"]}:
                return revision
            is_tried = is_tried or revision == done["revision"]
    raise UnavailableError("The events ended.", f"See `hyperhive history {name}`.")
