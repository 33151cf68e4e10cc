"""Where concrete classes meet: a hive is put together here and nowhere else.

`running` is the whole life of a server; `serve` and `up` are that in the foreground, without and
with the agents' boxes.
"""

from hyperhive.bootstrap.foreground import (
    backup_offline,
    forge_of,
    notify,
    restore_offline,
    serve,
    up,
)
from hyperhive.bootstrap.hive import SECRET_FILE, Patience, Running, running
from hyperhive.reconcile.specs import HARNESS, box_specs

__all__ = [
    "HARNESS",
    "SECRET_FILE",
    "Patience",
    "Running",
    "backup_offline",
    "box_specs",
    "forge_of",
    "notify",
    "restore_offline",
    "running",
    "serve",
    "up",
]
