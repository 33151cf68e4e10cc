"""Events as sentences for a terminal, one line each."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hyperhive.cli.output import clock, printable, size
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


def paused(reason: str) -> str:
    """Word why something is paused, whether or not the reason says that it is."""
    return reason if reason.startswith("paused") else f"paused: {reason}"


def _paused(who: str, data: Data) -> str:
    return f"{who} is {paused(data['pause']['reason'])}"


def share(context: Mapping[str, Any] | None) -> str:
    """Say how full a conversation is: a share where its window is known, tokens elsewhere."""
    if context is None:
        return "-"
    tokens, window = context["tokens"], context["window"]
    return f"{tokens / window:.0%}" if window else f"{tokens} tokens"


def model_of(used: str | None, declared: str | None) -> str:
    """Name the model that an agent uses, and beside it the declared one where that is another."""
    if used == declared or used is None:
        return used or "-"
    return f"{used} (declared: {declared or 'none'})"


def _probed(agent: str, data: Data) -> str:
    differences = data["probe"]["differences"]
    return f"{agent}'s box is {'not ' if differences else ''}as promised" + "".join(
        f"; {difference}" for difference in differences
    )


def _rollout(_: str, data: Data) -> str:
    rollout = data["rollout"]
    if rollout is None:
        return "the restart is finished"
    back = f"{len(rollout['restarted'])} of {len(rollout['order'])} back"
    return f"restart ({rollout['reason']}): {rollout['phase']}, {back}"


def _reminder(how: str) -> Callable[[str, Data], str]:
    def tell(_: str, data: Data) -> str:
        r = data["reminder"]
        error = f" ({r['last_error']})" if r["last_error"] else ""
        return f"{r['agent']}'s reminder {r['id']} {how}{error}: {r['preview']}"

    return tell


def _reminder_changed(agent: str, data: Data) -> str:
    r = data["reminder"]
    if r["attempts"]:
        return _reminder("is tried again")(agent, data)
    return _reminder(f"is {r['state']} for {clock(r['due_at'])}")(agent, data)


def _approval(_: str, data: Data) -> str:
    a = data["approval"]
    why = f" ({a['error'] or a['note']})" if a["error"] or a["note"] else ""
    state = "was used" if a["used_at"] is not None else f"is {a['state']}"
    return f"{a['requester']}'s request {a['id']} {state}{why}: {a['title']}"


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
    "message_withdrawn": lambda _, d: f"{d['id']} to {d['to']} was {d['reason']}",
    "message_dropped": lambda _, d: f"{d['id']} to {d['to']} was dropped",
    "message_read": lambda _, d: f"{d['id']} was read",
    "approval_added": _approval,
    "approval_changed": _approval,
    "approval_resolved": _approval,
    "agent_state_changed": _state,
    "agent_status_changed": lambda agent, d: f"{agent}: {d['status']}",
    "agent_added": lambda agent, _: f"{agent} was added",
    "agent_changed": lambda agent, _: f"{agent} was changed",
    "agent_removed": lambda agent, _: f"{agent} was removed",
    "agent_held": lambda agent, d: f"{agent} is held by {d['by']}",
    "agent_unheld": lambda agent, _: f"{agent} may run again",
    "agent_paused": _paused,
    "agent_resumed": lambda agent, d: f"{agent} is no longer paused ({d['cause']})",
    "agent_model_changed": lambda agent, d: (
        f"{agent} uses {d['model'] or 'its declared model'} from its next turn on"
    ),
    "agent_context_changed": lambda agent, d: f"{agent}'s context: {share(d['context'])}",
    "agent_measured": lambda agent, d: f"{agent}'s files take {size(d['bytes'])}",
    "box_probed": _probed,
    "hive_paused": _paused,
    "hive_resumed": lambda who, d: f"{who} is no longer paused ({d['cause']})",
    "transient_set": lambda agent, d: f"{agent} is {d['action']}: {d['reason']}",
    "transient_cleared": lambda agent, d: f"{agent} is no longer {d['action']}",
    "rollout_changed": _rollout,
    "tombstone_added": lambda agent, _: f"{agent} is gone; its state is kept",
    "tombstone_revived": lambda agent, _: f"{agent} is back with its state",
    "tombstone_purged": lambda agent, _: f"what {agent} left is deleted",
    "turn_started": lambda agent, d: (
        f"{agent} began turn {d['id']}"
        f" with {', '.join(str(number) for number in d['messages']) or 'no messages'}"
    ),
    "turn_ended": _turn_ended,
    "reminder_added": _reminder("was set"),
    "reminder_changed": _reminder_changed,
    "reminder_delivered": _reminder("came"),
    "reminder_failed": _reminder("was given up"),
    "reminder_cancelled": _reminder("was taken back"),
    "alert_raised": lambda _, d: f"{d['severity']}: {d['text']}",
    "alert_cleared": lambda _, d: f"{d['key']} is over",
    "day_began": lambda *_: "a new day of spending began",
    "hive_started": lambda _, d: f"the hive started, version {d['version']}",
    "hive_stopping": lambda *_: "the hive is stopping",
}
