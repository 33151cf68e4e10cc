"""Commands that run a server in the foreground, and the way in to its page."""

from pathlib import Path

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import print_json
from hyperhive.cli.settings import Settings


@click.command(cls=HiveCommand)
@click.pass_obj
def up(settings: Settings) -> int:
    """Run the server and the agents of the declaration in the foreground.

    Prints the link to the operator's page. Ctrl-C stops the agents, then the server; what was
    accepted is on disk and goes on at the next start.
    """
    config = settings.config_path()
    from hyperhive import bootstrap

    return bootstrap.up(config) or 0


@click.command(cls=HiveCommand)
@click.pass_obj
def serve(settings: Settings) -> int:
    """Run the server alone, in the foreground.

    This is what a service manager starts where it starts the agents, too.
    """
    config = settings.config_path()
    from hyperhive import bootstrap

    return bootstrap.serve(config) or 0


@click.command(cls=HiveCommand)
@click.pass_obj
def login_link(settings: Settings) -> None:
    """Print a link that logs a browser in to the operator's page, once.

    Treat it like a password until it is used.
    """
    with settings.client() as hive:
        link = hive.login_link()
    if settings.as_json:
        print_json(link)
    else:
        print(link["url"])


@click.command(cls=HiveCommand)
@click.option("--headless", is_flag=True, help="Play it through, check every step, and exit.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the hive lives; kept afterwards.  [default: a temporary directory]",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The page's port.  [default: a free one]"
)
@click.option(
    "--runtime",
    type=click.Choice(["auto", "process", "bubblewrap"]),
    default="auto",
    show_default=True,
    help="Where the agents run; auto is bubblewrap where it works.",
)
@click.option(
    "--driver",
    type=click.Choice(["scripted", "claude"]),
    default="scripted",
    show_default=True,
    help="What the agents are; claude is Claude Code and needs --scripted-model.",
)
@click.option("--scripted-model", is_flag=True, help="Give Claude Code a script as its model.")
def demo(
    headless: bool,  # noqa: FBT001
    directory: Path | None,
    port: int | None,
    runtime: str,
    driver: str,
    scripted_model: bool,  # noqa: FBT001
) -> int:
    """Play a small hive: a manager, two workers, real messages, no model.

    Prints the link to the page and stays up until Ctrl-C, which leaves nothing behind. With
    --headless it exits 0 when every step of the story went right, and 1 with what did not.
    """
    if scripted_model != (driver == "claude"):
        raise click.UsageError("--driver claude and --scripted-model go together.")
    from hyperhive import demo as story

    return story.main(headless, directory, port, runtime=runtime, driver=driver)
