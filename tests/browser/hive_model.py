"""A hive in memory, as the operator's API shows one: rows, and an event for every change of them.

Snapshots are made from the rows alone and never from events, so that a page which applied the
events can be held against a snapshot taken later. Every method changes rows and appends the event
under one lock; ``changed`` is notified after each.
"""

from typing import Any

from tests.browser.model.agents import Agents
from tests.browser.model.deciding import Deciding
from tests.browser.model.forge import Forge
from tests.browser.model.messages import Messages
from tests.browser.model.rows import OPERATOR, Json

__all__ = ["OPERATOR", "HiveModel", "Json"]


class HiveModel(Messages, Agents, Deciding, Forge):
    """All of it, with what concerns the whole hive: alerts, limits, starts and stops."""

    def raise_alert(
        self, key: str, text: str, severity: str = "warning", agent: str | None = None
    ) -> None:
        """Show the operator something that lasts."""
        with self.changed:
            alert = {"key": key, "severity": severity, "text": text, "agent": agent}
            at = self.clock()
            self.alerts[key] = {**alert, "raised_at": at}
            self._emit("alert_raised", agent, alert, at=at)

    def clear_alert(self, key: str) -> None:
        """End an alert."""
        with self.changed:
            del self.alerts[key]
            self._emit("alert_cleared", None, {"key": key})

    def change_limits(self, **limits: Any) -> None:
        """Declare other limits of the whole hive."""
        with self.changed:
            self.limits.update(limits)
            self._emit("hive_changed", None, {"limits": dict(self.limits)})

    def start(self, version: str) -> None:
        """Say that the hive has come back, as another version perhaps."""
        with self.changed:
            self.version, self.started_at = version, self.clock()
            told = {"version": version, "limits": dict(self.limits)}
            self._emit("hive_started", None, told, at=self.started_at)

    def stop(self) -> None:
        """Say that the hive goes down."""
        with self.changed:
            self._emit("hive_stopping", None, {})

    def restore(self) -> None:
        """Begin another history, as after a restored backup."""
        with self.changed:
            self.epoch += "'"
            self.events.clear()
            self.changed.notify_all()
