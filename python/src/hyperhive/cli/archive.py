"""What is kept: ``audit``, ``backup``, ``restore``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import clock, print_json, table
from hyperhive.cli.settings import Settings

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

Result = dict[str, Any]


@click.command(cls=HiveCommand)
@click.option("--before", type=int, metavar="ID", help="Only entries older than this one.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.pass_obj
def audit(settings: Settings, before: int | None, limit: int) -> None:
    """List what was done with the operator's authority, the newest last."""
    with settings.client() as hive:
        page = hive.audit(before=before, limit=limit)
    if settings.as_json:
        print_json(page)
        return
    shown = page["entries"][::-1]
    if not shown:
        print("No entries.")
        return
    if page["more"]:
        print(f"Older ones: --before {shown[0]['id']}")
    rows = [(e["id"], clock(e["at"]), e["actor"], e["via"], e["verb"], e["subject"]) for e in shown]
    print(table(("ID", "AT", "ACTOR", "VIA", "VERB", "SUBJECT"), rows))


@click.command(cls=HiveCommand)
@click.pass_obj
def backup(settings: Settings) -> None:
    """Back the hive's database up, whether or not the hive runs.

    A running hive goes on meanwhile.
    """

    def offline(config: Path) -> Result:
        from hyperhive import bootstrap

        return bootstrap.backup_offline(config)

    made = _online_or_offline(settings, lambda hive: {**hive.backup()}, offline)
    if settings.as_json:
        print_json(made)
    else:
        print(f"Backed up to {made['path']} ({made['bytes']} bytes, up to event {made['seq']}).")


@click.command(cls=HiveCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def restore(settings: Settings, file: Path) -> None:
    """Put the backup FILE in place of the hive's database, whether or not the hive runs.

    What was there is kept as a copy beside it. A running hive goes on with the restored state,
    and open pages start over.
    """
    path = file.resolve()

    def offline(config: Path) -> Result:
        from hyperhive import bootstrap

        return bootstrap.restore_offline(config, path)

    restored = _online_or_offline(settings, lambda hive: {**hive.restore(path)}, offline)
    if settings.as_json:
        print_json(restored)
        return
    saved = restored["saved"]
    print(f"Restored {path}." + (f" What was there before: {saved}" if saved else ""))


def _online_or_offline(
    settings: Settings,
    online: "Callable[[OperatorClient], Result]",
    offline: Callable[[Path], Result],
) -> Result:
    """Ask the server; where nobody listens, do it on the files.

    A socket that was named outright says that a server is meant: then no answer is an error, so
    that a wrong path never touches the files under a running server.
    """
    from hyperhive.client.connections import NobodyAnswersError

    try:
        with settings.client() as hive:
            return online(hive)
    except NobodyAnswersError:
        if settings.named_socket() is not None:
            raise
    return offline(settings.config_path())
