"""Finding a driver by the kind that a declaration names."""

import re
from importlib import import_module

from hyperhive.harness.drivers.port import Driver


class UnknownDriverError(Exception):
    """This version has no driver of that kind."""


def find_driver(kind: str) -> Driver:
    """Return the driver of ``kind``, importing its module now and not earlier."""
    name = f"{__package__}.{kind}"
    try:
        module = import_module(name) if re.fullmatch(r"[a-z_]+", kind) else None
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        module = None
    driver: Driver | None = getattr(module, "driver", None)
    if driver is None:
        raise UnknownDriverError(
            f"This version of the harness has no driver {kind!r}. "
            "Name another in the agent's declaration, or upgrade the hive."
        )
    return driver
