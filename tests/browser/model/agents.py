"""Agents of a hive in memory: they come and go, are held, restarted, and run turns."""

from typing import Any

from tests.browser.model.asked import Asked
from tests.browser.model.rows import OPERATOR, Json


class Agents(Asked):
    """What happens to agents, their boxes and their turns."""

    def add_agent(self, name: str, role: str = "worker", **facts: Any) -> None:
        """Declare an agent; one that had gone finds its state."""
        with self.changed:
            if self.tombstones.pop(name, None):
                self._emit("tombstone_revived", name, {})
            self.agents[name] = {
                "name": name, "role": role, "description": "", "declared": True,
                "driver": "scripted", "runtime": "process", "state": "ready", "reason": None,
                "since": self.clock(), "status": None, "status_at": None, "turn": None,
                "pauses": [], "held": None, "transient": None, "model": None,
                "declared_model": None, "context": None, "probe": None, "bytes": None, **facts,
            }  # fmt: skip
            self._emit("agent_added", name, {"agent": self.agent(name)})

    def change_agent(self, name: str, **facts: Any) -> None:
        """Declare an agent otherwise; the event tells nothing of its inbox and turn."""
        with self.changed:
            self.agents[name].update(facts)
            inbox = {"queued": 0, "leased": 0, "dead": 0}
            shape = {**self.agent(name), "inbox": inbox, "turn": None, "bytes": None}
            self._emit("agent_changed", name, {"agent": shape})

    def remove_agent(self, name: str) -> None:
        """Take an agent away; its messages and its state stay."""
        with self.changed:
            gone = self.agents.pop(name)
            self._emit("agent_removed", name, {})
            stone = {
                "name": name, "role": gone["role"], "description": gone["description"],
                "removed_at": self.clock(), "bytes": 12_345_678, "declared": gone["declared"],
            }  # fmt: skip
            self.tombstones[name] = stone
            self._emit("tombstone_added", name, {"tombstone": stone})

    def purge(self, name: str) -> None:
        """Delete what an agent left."""
        with self.changed:
            del self.tombstones[name]
            self._emit("tombstone_purged", name, {}, actor=OPERATOR)

    def hold(self, name: str) -> None:
        """Let the operator stop an agent."""
        with self.changed:
            held = {"by": OPERATOR, "at": self.clock()}
            self.agents[name]["held"] = held
            self._emit("agent_held", name, held, actor=OPERATOR)

    def unhold(self, name: str) -> None:
        """Let an agent run again."""
        with self.changed:
            self.agents[name]["held"] = None
            self._emit("agent_unheld", name, {}, actor=OPERATOR)

    def pause(
        self,
        name: str | None,
        cause: str = "operator",
        reason: str = "paused by the operator",
        until: float | None = None,
    ) -> None:
        """Pause an agent or (``None``) the hive; a pause of the same cause is replaced."""
        with self.changed:
            pause = {"cause": cause, "reason": reason, "since": self.clock(), "until": until}
            pauses = self._pauses(name)
            pauses[:] = [*(p for p in pauses if p["cause"] != cause), pause]
            kind = "hive_paused" if name is None else "agent_paused"
            self._emit(kind, name, {"pause": pause}, actor=OPERATOR)

    def resume(self, name: str | None, cause: str = "operator") -> None:
        """End a pause; nothing happens where there is none."""
        with self.changed:
            pauses = self._pauses(name)
            if any(pause["cause"] == cause for pause in pauses):
                pauses[:] = [pause for pause in pauses if pause["cause"] != cause]
                kind = "hive_resumed" if name is None else "agent_resumed"
                self._emit(kind, name, {"cause": cause}, actor=OPERATOR)

    def set_model(self, name: str, model: str | None) -> None:
        """Let an agent use another model."""
        with self.changed:
            self.agents[name]["model"] = model
            self._emit("agent_model_changed", name, {"model": model}, actor=OPERATOR)

    def measure(self, name: str, size: int) -> None:
        """Find out what an agent's files take."""
        with self.changed:
            self.agents[name]["bytes"] = size
            self._emit("agent_measured", name, {"bytes": size})

    def begin_day(self) -> None:
        """Count spending anew."""
        with self.changed:
            self.spent = 0.0
            self._emit("day_began", None, {"spent_today_usd": 0.0})

    def probe(self, name: str, differences: list[str], remarks: list[str]) -> None:
        """Let an agent's box say what it found out about itself."""
        with self.changed:
            facts = ["It runs as user 1000."]
            found = {"differences": differences, "remarks": remarks, "facts": facts}
            self.agents[name]["probe"] = found
            self._emit("box_probed", name, {"probe": found})

    def set_transient(self, name: str, action: str = "restarting") -> None:
        """Begin to do something to an agent."""
        with self.changed:
            self.agents[name]["transient"] = action
            self._emit("transient_set", name, {"action": action, "reason": "so it is"})

    def clear_transient(self, name: str) -> None:
        """End what is being done to an agent."""
        with self.changed:
            action = self.agents[name]["transient"]
            self.agents[name]["transient"] = None
            self._emit("transient_cleared", name, {"action": action})

    def set_rollout(self, **facts: Any) -> None:
        """Say how far a restart of all agents is; it begins if there is none."""
        with self.changed:
            names = sorted(self.agents, key=lambda n: (self.agents[n]["role"] != "manager", n))
            begun = {
                "id": self.seq + 1, "reason": "new broom", "manager": names[0], "order": names,
                "deadline": self.clock() + 60, "phase": "draining", "cut": [], "going": {},
                "restarted": [], "failed": {}, "waiting": names,
            }  # fmt: skip
            self.rollout = {**(self.rollout or begun), **facts}
            self._emit("rollout_changed", None, {"rollout": self.rollout})

    def set_plan(self, *actions: tuple[str, str]) -> None:
        """Say what is being done, to which agents."""
        with self.changed:
            self.plan = [
                {"action": verb, "agent": name, "reason": "so it is declared"}
                for verb, name in actions
            ]
            self._emit("plan_changed", None, {"plan": list(self.plan)})

    def end_rollout(self) -> None:
        """Finish a restart of all agents."""
        with self.changed:
            self.rollout = None
            self._emit("rollout_changed", None, {"rollout": None})

    def set_state(self, name: str, state: str, reason: str | None = None) -> None:
        """Put an agent in another state."""
        with self.changed:
            change = {"state": state, "reason": reason, "since": self.clock()}
            self.agents[name].update(change)
            self._emit("agent_state_changed", name, {**change, "session": None})

    def set_status(self, name: str, text: str | None) -> None:
        """Let an agent say what it is doing."""
        with self.changed:
            change = {"status": text, "status_at": self.clock()}
            self.agents[name].update(change)
            self._emit("agent_status_changed", name, change, actor=name)

    def start_turn(self, name: str, messages: list[int] | None = None) -> int:
        """Begin a turn of an agent."""
        with self.changed:
            self.turns += 1
            turn = {"id": self.turns, "started_at": self.clock()}
            self.agents[name]["turn"] = turn
            self.turn_rows[self.turns] = {
                **turn, "agent": name, "kind": "work", "model": None, "ended_at": None,
                "outcome": None, "error": None, "usage": {}, "context_tokens": None,
                "tools": {}, "messages": messages or [],
            }  # fmt: skip
            self._emit("turn_started", name, {**turn, "messages": messages or []}, actor=name)
            return self.turns

    def write_line(self, turn: int, kind: str, **data: Any) -> None:
        """Add a line to a turn's transcript; it is no event."""
        with self.changed:
            lines = self.lines.setdefault(turn, [])
            lines.append({"n": len(lines), "at": self.clock(), "kind": kind, "data": data})
            self.changed.notify_all()

    def end_turn(
        self,
        name: str,
        outcome: str = "ok",
        cost: float | None = None,
        context: Json | None = None,
    ) -> None:
        """End the turn that an agent is in."""
        with self.changed:
            turn = self.agents[name]["turn"]
            self.agents[name]["turn"] = None
            ended = {"id": turn["id"], "outcome": outcome, "error": None, "ended_at": self.clock()}
            usage = None
            if cost is not None:
                self.spent += cost
                usage = {"input_tokens": 1, "output_tokens": 1, "cost_usd": cost}
            if context != self.agents[name]["context"]:
                self.agents[name]["context"] = context
                self._emit("agent_context_changed", name, {"context": context})
            told = {**ended, "usage": usage, "tools": {}}
            self.turn_rows[turn["id"]].update(ended, usage=usage or {})
            self._emit("turn_ended", name, told, actor=name)
