"""Which hive a command speaks to, and how it prints.

The admin socket is, in this order: ``--socket``, the environment's HYPERHIVE_ADMIN_SOCKET, or
``admin.sock`` in the ``runDir`` of the declaration. Of a declaration only ``runDir`` is read
here, without the models, so that a command costs no more than its request.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hyperhive.domain.errors import HiveError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from hyperhive.client import OperatorClient

SOCKET_VARIABLE: Final = "HYPERHIVE_ADMIN_SOCKET"
CONFIG_VARIABLE: Final = "HYPERHIVE_CONFIG"
CONFIG_PLACES: Final = ("hive.toml", "hive.json", "/etc/hyperhive/hive.json")
RUN_DIR: Final = "/run/hyperhive"
ADMIN_SOCKET: Final = "admin.sock"


class Settings:
    """What the global options and the environment say."""

    def __init__(self) -> None:
        self.socket: Path | None = None
        self.config: Path | None = None
        self.as_json = False

    def config_path(self) -> Path:
        """Find the declaration; absent everywhere is an error that says how to write one."""
        named = self.config or _from_environment(CONFIG_VARIABLE)
        if named is not None:
            if not named.is_file():
                raise HiveError(f"There is no declaration {named}.", "Check the path.")
            return named.absolute()
        for place in CONFIG_PLACES:
            if (path := Path(place)).is_file():
                return path.absolute()
        raise HiveError(
            f"There is no declaration: looked for {', '.join(CONFIG_PLACES)}.",
            "Name one with --config, or write one with `hyperhive init`.",
        )

    def named_socket(self) -> Path | None:
        """Give the socket that was named outright, not found through a declaration."""
        return self.socket or _from_environment(SOCKET_VARIABLE)

    def admin_socket(self) -> Path:
        """Find the admin socket's path; whether someone listens there is not looked at."""
        if named := self.named_socket():
            return named
        is_named = self.config is not None or CONFIG_VARIABLE in os.environ
        try:
            config = self.config_path()
        except HiveError:
            if is_named:
                raise
            return Path(RUN_DIR) / ADMIN_SOCKET
        return run_dir(config) / ADMIN_SOCKET

    def client(self) -> "OperatorClient":
        """Make a client of the hive's admin socket."""
        from hyperhive.client import OperatorClient

        return OperatorClient(self.admin_socket())


def read_declaration(path: Path) -> dict[str, Any]:
    """Parse a declaration without checking it."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            import json

            data = json.loads(text)
        else:
            import tomllib

            data = tomllib.loads(text)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror}.", "Check its path and permissions."
        ) from error
    except ValueError as error:
        raise InvalidError(
            f"{path} cannot be parsed: {error}.", f"See `hyperhive check-config {path}`."
        ) from error
    if not isinstance(data, dict):
        raise InvalidError(f"{path} holds no table.", f"See `hyperhive check-config {path}`.")
    return data


def run_dir(config: Path) -> Path:
    """Read ``runDir`` from a declaration; relative means relative to that file."""
    said = read_declaration(config).get("runDir", RUN_DIR)
    if not isinstance(said, str) or not said:
        raise InvalidError(
            f"runDir in {config} is {said!r}, no path.", f"See `hyperhive check-config {config}`."
        )
    return config.parent / said


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
