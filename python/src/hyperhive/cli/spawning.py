"""Commands about spawned agents: ask for one, bring one back, see and repeat its deployments."""

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, printable, table
from hyperhive.cli.settings import Settings


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
@click.pass_obj
def redeploy(settings: Settings, name: str, revision: str) -> None:
    """Deploy to a spawned agent again what was deployed to it once.

    REVISION is a commit's hash, its beginning, or a tag such as deployed/7: `hyperhive history`
    lists them.
    """
    with settings.client() as hive:
        done = hive.redeploy(name, revision)
    if settings.as_json:
        print_json(done)
    else:
        print(
            printable(
                f"{name} is restarted with {revision}, which is deployed once it is ready with it."
            )
        )
