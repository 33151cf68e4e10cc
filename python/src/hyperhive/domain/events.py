"""Facts: what happened, in the past tense, in one order for the whole hive.

An event is committed together with the rows it tells of. Whoever applies all events after a
snapshot to that snapshot has the truth, so an event carries every value that a list shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """Every kind of event; its value is what the operator's stream calls it."""

    HIVE_STARTED = "hive_started"
    HIVE_STOPPING = "hive_stopping"
    HIVE_CHANGED = "hive_changed"
    MESSAGE_QUEUED = "message_queued"
    MESSAGE_LEASED = "message_leased"
    MESSAGE_ACKED = "message_acked"
    MESSAGE_RELEASED = "message_released"
    MESSAGE_DEAD = "message_dead"
    MESSAGE_REQUEUED = "message_requeued"
    MESSAGE_DROPPED = "message_dropped"
    MESSAGE_WITHDRAWN = "message_withdrawn"
    MESSAGE_READ = "message_read"
    QUESTION_ADDED = "question_added"
    QUESTION_ANSWERED = "question_answered"
    QUESTION_CANCELLED = "question_cancelled"
    QUESTION_EXPIRED = "question_expired"
    APPROVAL_ADDED = "approval_added"
    APPROVAL_CHANGED = "approval_changed"
    APPROVAL_RESOLVED = "approval_resolved"
    REMINDER_ADDED = "reminder_added"
    REMINDER_CHANGED = "reminder_changed"
    REMINDER_DELIVERED = "reminder_delivered"
    REMINDER_FAILED = "reminder_failed"
    REMINDER_CANCELLED = "reminder_cancelled"
    PULL_REQUEST_CHANGED = "pull_request_changed"
    FORGE_CHANGED = "forge_changed"
    FORGE_REPOSITORIES_CHANGED = "forge_repositories_changed"
    AGENT_ADDED = "agent_added"
    AGENT_CHANGED = "agent_changed"
    AGENT_REMOVED = "agent_removed"
    AGENT_STATE_CHANGED = "agent_state_changed"
    AGENT_STATUS_CHANGED = "agent_status_changed"
    AGENT_HELD = "agent_held"
    AGENT_UNHELD = "agent_unheld"
    AGENT_PAUSED = "agent_paused"
    AGENT_RESUMED = "agent_resumed"
    AGENT_MODEL_CHANGED = "agent_model_changed"
    AGENT_CONTEXT_CHANGED = "agent_context_changed"
    AGENT_MEASURED = "agent_measured"
    DAY_BEGAN = "day_began"
    HIVE_PAUSED = "hive_paused"
    HIVE_RESUMED = "hive_resumed"
    TRANSIENT_SET = "transient_set"
    TRANSIENT_CLEARED = "transient_cleared"
    ROLLOUT_CHANGED = "rollout_changed"
    PLAN_CHANGED = "plan_changed"
    BOX_PROBED = "box_probed"
    TOMBSTONE_ADDED = "tombstone_added"
    TOMBSTONE_REVIVED = "tombstone_revived"
    TOMBSTONE_PURGED = "tombstone_purged"
    TURN_STARTED = "turn_started"
    TURN_ENDED = "turn_ended"
    ALERT_RAISED = "alert_raised"
    ALERT_CLEARED = "alert_cleared"


@dataclass(frozen=True, slots=True)
class Event:
    """One fact.

    ``seq`` orders all events of a hive and is never used twice; ``at`` is in seconds since the
    epoch; ``agent`` is whom it concerns (of a message: its recipient), ``actor`` who did it.
    """

    seq: int
    at: float
    kind: str
    agent: str | None
    actor: str
    data: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Give the shape that the operator's stream and history show."""
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "agent": self.agent,
            "actor": self.actor,
            "data": dict(self.data),
        }
