"""A restart of several agents, told from its events: who drains, who goes, who is back.

Pure. The events carry the whole record of the restart, so a story is what differs between one
record and the next. The last event carries none; whoever was still on the way is then judged by
the state in which the events left it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from hyperhive.cli.output import span
from hyperhive.client.answers import Event, Rollout, Snapshot
from hyperhive.domain.agents import CONNECTED

_BACK = frozenset(state.value for state in CONNECTED)


class RestartStory:
    """The restart that begins after a snapshot; feed it every event after that, in order."""

    def __init__(self, before: Snapshot) -> None:
        earlier = before["hive"]["rollout"]
        self._earlier = earlier["id"] if earlier else None
        self._states = {agent["name"]: agent["state"] for agent in before["agents"]}
        self._in_turn = {agent["name"] for agent in before["agents"] if agent["turn"]}
        self._record: Rollout | None = None
        self.restarted: list[str] = []
        self.failed: dict[str, str] = {}
        self.is_over = False

    def outcome(self) -> dict[str, Any]:
        """Give how it ended."""
        return {
            "reason": self._record["reason"] if self._record else None,
            "restarted": self.restarted,
            "failed": self.failed,
            "cut": self._record["cut"] if self._record else [],
        }

    def tell(self, event: Event) -> Iterator[str]:
        """Tell what an event means for the restart, in lines; most mean nothing."""
        name, data = event["agent"] or "", event["data"]
        match event["kind"]:
            case "agent_state_changed":
                self._states[name] = data["state"]
            case "turn_started":
                self._in_turn.add(name)
            case "turn_ended":
                self._in_turn.discard(name)
                if self._drains(name):
                    yield f"{name} ended its turn ({data['outcome']})"
            case "rollout_changed":
                yield from self._changed(data["rollout"], event["at"])
            case _:
                pass

    def _drains(self, name: str) -> bool:
        record = self._record
        return record is not None and record["phase"] == "draining" and name in record["order"]

    def _changed(self, record: Mapping[str, Any] | None, at: float) -> Iterator[str]:
        if record is not None and record["id"] == self._earlier:
            return
        if record is not None:
            yield from self._advanced(cast(Rollout, record), at)
        if self._record is not None and (record is None or record["phase"] == "finished"):
            yield from self._ended()

    def _advanced(self, record: Rollout, at: float) -> Iterator[str]:
        before, self._record = self._record, record
        if before is None:
            yield f"restarting {_list(record['order'])}: {record['reason']}"
            running = [name for name in record["order"] if name in self._in_turn]
            if running and record["phase"] == "draining":
                room = span(record["deadline"] - at)
                yield f"waiting up to {room} for the turns of {_list(running)}"
        known = before["cut"] if before else []
        for name in _new(record["cut"], known):
            yield f"{name}'s turn was cut; its messages come again"
        for name in _new(record["restarted"], self.restarted):
            yield f"{name} is back"
        for name in _new(record["failed"], self.failed):
            yield f"{name} did not come back: {record['failed'][name]}"
        for name in _new(record["going"], before["going"] if before else ()):
            manager = ", the manager," if name == record["manager"] else ""
            yield f"{name}{manager} is being restarted"
        self.restarted, self.failed = list(record["restarted"]), dict(record["failed"])

    def _ended(self) -> Iterator[str]:
        assert self._record is not None
        for name in _new(self._record["order"], (*self.restarted, *self.failed)):
            state = self._states.get(name, "gone")
            if state in _BACK:
                self.restarted.append(name)
                yield f"{name} is back"
            else:
                self.failed[name] = f"it is {state.replace('_', ' ')}"
                yield f"{name} did not come back: {self.failed[name]}"
        self.is_over = True
        failed = f", {len(self.failed)} failed" if self.failed else ""
        yield f"finished: {len(self.restarted)} restarted{failed}"


def _new(names: Iterable[str], known: Iterable[str]) -> list[str]:
    before = set(known)
    return [name for name in names if name not in before]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
