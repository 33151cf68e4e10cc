"""Options that every command has, before or after its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from hyperhive.cli.settings import Settings

_GLOBAL_LENGTHS: Final = {"--socket": 2, "--config": 2, "--json": 1}
"""How many arguments each option of the whole program takes up."""


def global_options() -> list[click.Parameter]:
    """Build the options of the whole program; what one is given is kept in `Settings`."""
    return [
        click.Option(
            ["--socket"],
            type=click.Path(path_type=Path),
            metavar="PATH",
            expose_value=False,
            callback=_keep("socket"),
            help="The hive's admin socket.  [env: HYPERHIVE_ADMIN_SOCKET; else from --config]",
        ),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_keep("config"),
            help="The declaration.  [env: HYPERHIVE_CONFIG; else ./hive.toml, ./hive.json, "
            "/etc/hyperhive/hive.json]",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_keep("as_json"),
            help="Print JSON.",
        ),
    ]


class HiveCommand(click.Command):
    """A command with the program's options; refuses with one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])


class HiveGroup(click.Group):
    """A group of `HiveCommand`, with the program's options itself."""

    command_class = HiveCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])


class ListGroup(HiveGroup):
    """A group whose command ``list`` is meant when none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before the first argument that is no global option, if it is no command."""
        at = 0
        while at < len(args) and (name := args[at].partition("=")[0]) in _GLOBAL_LENGTHS:
            at += 1 if "=" in args[at] else _GLOBAL_LENGTHS[name]
        if args[at : at + 1] not in ([known] for known in (*self.commands, "-h", "--help")):
            args = [*args[:at], "list", *args[at:]]
        return super().parse_args(ctx, args)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        # Absent here may be present on the other side of the command's name.
        if value:
            setattr(ctx.ensure_object(Settings), name, value)

    return callback
