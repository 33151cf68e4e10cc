"""The public library: a hive's operator API and an agent's socket, typed and light.

    from hyperhive.client import OperatorClient

    with OperatorClient("/run/hyperhive/admin.sock") as hive:
        snapshot = hive.state()
        hive.send("manager", "Please summarise the day.")
        for event in hive.events(snapshot["seq"], epoch=snapshot["epoch"]):
            print(event["kind"], event["agent"])

It needs the standard library and `hyperhive.domain` only, and a name is loaded when it is first
used, so a script starts at once. Refusals are the errors of `hyperhive.domain.errors`; a hive that
cannot be reached is an `UnavailableError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hyperhive.client.agent import AgentClient
    from hyperhive.client.operator import OperatorClient
    from hyperhive.client.streams import StreamResetError

__all__ = ["AgentClient", "OperatorClient", "StreamResetError"]

_HOMES: Final = {
    "AgentClient": "hyperhive.client.agent",
    "OperatorClient": "hyperhive.client.operator",
    "StreamResetError": "hyperhive.client.streams",
}


def __getattr__(name: str) -> Any:
    if home := _HOMES.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
