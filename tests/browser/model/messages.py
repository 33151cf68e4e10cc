"""Messages of a hive in memory: sent, handed out, settled, read."""

from typing import Any

from tests.browser.model.asked import Asked
from tests.browser.model.rows import OPERATOR, PREVIEW, Json, shown


class Messages(Asked):
    """What happens to messages."""

    def send(self, sender: str, to: str, body: str, **facts: Any) -> int:
        """Accept a message."""
        with self.changed:
            self.last_id += 1
            at = self.clock()
            row = {
                "id": self.last_id, "from": sender, "to": to, "at": at,
                "in_reply_to": None, "broadcast": False, "attempts": 0,
                "state": "acked" if to == OPERATOR else "queued",
                "redelivered": False, "not_before": None, "reason": None, "body": body,
                "size": len(body.encode()), "read_at": None, **facts,
            }  # fmt: skip
            self.messages[self.last_id] = row
            self._emit("message_queued", to, {"message": shown(row)}, actor=sender, at=at)
            return self.last_id

    def lease(self, ident: int, turn: int | None = None) -> None:
        """Hand a message over."""
        self._step(ident, "message_leased", {"turn": turn}, state="leased")

    def ack(self, ident: int) -> None:
        """Take a message as handled."""
        self._step(ident, "message_acked", {}, state="acked")

    def release(self, ident: int, reason: str = "the turn failed", attempts: int = 1) -> None:
        """Give a leased message back, to be delivered again."""
        facts = {
            "attempts": self.messages[ident]["attempts"] + attempts,
            "redelivered": True,
            "not_before": self.clock() + 30 if attempts else None,
            "reason": reason,
        }
        told = {**facts, **self._beginning(ident)}
        self._step(ident, "message_released", told, state="queued", **facts)

    def die(self, ident: int, reason: str = "the turn failed") -> None:
        """Give a leased message up."""
        facts = {"attempts": self.messages[ident]["attempts"] + 1, "reason": reason}
        change = {"state": "dead", "redelivered": True, **facts}
        told = {**facts, "message": {**shown(self.messages[ident]), **change}}
        self._step(ident, "message_dead", told, **change)

    def _beginning(self, ident: int) -> Json:
        row = self.messages[ident]
        return {"at": row["at"], "preview": row["body"][:PREVIEW]}

    def requeue(self, ident: int) -> None:
        """Let a dead message start anew."""
        at = self.clock()
        anew = {"attempts": 0, "redelivered": True, "not_before": None}
        told = self._beginning(ident)
        self._step(ident, "message_requeued", told, OPERATOR, at, state="queued", **anew)

    def drop(self, ident: int) -> None:
        """Give a dead message up for good."""
        self._step(ident, "message_dropped", {}, OPERATOR, state="dropped")

    def withdraw(self, ident: int) -> None:
        """Take a message back that nobody has seen."""
        reason = f"withdrawn by {OPERATOR}"
        told = {"reason": reason}
        self._step(ident, "message_withdrawn", told, OPERATOR, state="dropped", reason=reason)

    def read(self, ident: int) -> None:
        """Mark a message of the operator's read; a second time changes nothing."""
        with self.changed:
            if self.messages[ident]["read_at"] is None:
                self.messages[ident]["read_at"] = at = self.clock()
                self._emit("message_read", OPERATOR, {"id": ident}, actor=OPERATOR, at=at)
