"""Events as sentences for a terminal, one line each."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hyperhive.cli.output import printable
from hyperhive.client.answers import Event

Data = Mapping[str, Any]


def told(event: Event) -> str:
    """Tell an event in one line; a kind this version does not know is told by its name."""
    tell = _TELLERS.get(event["kind"])
    try:
        said = tell(event["agent"] or "the hive", event["data"]) if tell else _unknown(event)
    except (KeyError, TypeError, AttributeError):  # another version's data
        said = _unknown(event)
    return printable(said)


def _unknown(event: Event) -> str:
    data = ", ".join(f"{name}={value}" for name, value in event["data"].items())
    return " ".join(part for part in (event["kind"], event["agent"] or "", data) if part)


def _queued(_: str, data: Data) -> str:
    m = data["message"]
    return f"{m['id']} {m['from']} → {m['to']}: {m['preview']}"


def _released(_: str, data: Data) -> str:
    return f"{data['id']} goes back to {data['to']}'s inbox ({data['reason']})"


def _turn_ended(agent: str, data: Data) -> str:
    error = f": {data['error']}" if data.get("error") else ""
    return f"{agent} ended turn {data['id']}: {data['outcome']}{error}"


def _state(agent: str, data: Data) -> str:
    return f"{agent} is {data['state']}" + (f" ({data['reason']})" if data.get("reason") else "")


_TELLERS: Final[Mapping[str, Callable[[str, Data], str]]] = {
    "message_queued": _queued,
    "message_leased": lambda _, d: (
        f"{d['id']} is with {d['to']}" + (f" in turn {d['turn']}" if d.get("turn") else "")
    ),
    "message_acked": lambda _, d: f"{d['id']} was handled by {d['to']}",
    "message_released": _released,
    "message_dead": lambda _, d: (
        f"{d['id']} to {d['to']} is dead after {d['attempts']} attempts ({d['reason']})"
    ),
    "message_requeued": lambda _, d: f"{d['id']} is back in {d['to']}'s inbox, by hand",
    "message_dropped": lambda _, d: f"{d['id']} to {d['to']} was dropped",
    "message_read": lambda _, d: f"{d['id']} was read",
    "agent_state_changed": _state,
    "agent_status_changed": lambda agent, d: f"{agent}: {d['status']}",
    "agent_added": lambda agent, _: f"{agent} was added",
    "agent_changed": lambda agent, _: f"{agent} was changed",
    "agent_removed": lambda agent, _: f"{agent} was removed",
    "turn_started": lambda agent, d: (
        f"{agent} began turn {d['id']}"
        f" with {', '.join(str(number) for number in d['messages']) or 'no messages'}"
    ),
    "turn_ended": _turn_ended,
    "alert_raised": lambda _, d: f"{d['severity']}: {d['text']}",
    "alert_cleared": lambda _, d: f"{d['key']} is over",
    "hive_started": lambda _, d: f"the hive started, version {d['version']}",
    "hive_stopping": lambda *_: "the hive is stopping",
}
