"""What waits in a hive in memory: questions, approvals, reminders."""

from typing import Any

from tests.browser.model.asked import Asked
from tests.browser.model.rows import OPERATOR, PREVIEW, Json


class Deciding(Asked):
    """Questions, approvals and reminders."""

    def ask(self, asker: str, question: str, target: str = OPERATOR, **facts: Any) -> int:
        """Let an agent ask."""
        with self.changed:
            ident = len(self.questions) + 1
            row = {
                "id": ident, "asker": asker, "target": target, "question": question,
                "options": [], "multi": False, "state": "open", "at": self.clock(),
                "expires_at": None, "answer": None, "answerer": None, "answered_at": None,
                "late": False, "closed_at": None, **facts,
            }  # fmt: skip
            self.questions[ident] = row
            self._told("question", "added", row, target, asker)
            return ident

    def close_question(self, ident: int, state: str, answer: Any = None) -> None:
        """Answer a question, or end it without an answer."""
        with self.changed:
            at = self.clock()
            told = {"answer": answer, "answerer": OPERATOR, "answered_at": at}
            row = self.questions[ident]
            row.update(state=state, closed_at=at, **(told if state == "answered" else {}))
            self._told("question", state, row, row["asker"], OPERATOR)

    def propose(
        self,
        requester: str,
        title: str,
        kind: str = "action",
        shown: Json | None = None,
        **facts: Any,
    ) -> int:
        """Let an agent ask for a yes; ``shown`` is what the operator is shown."""
        with self.changed:
            ident = len(self.approvals) + 1
            row = {
                "id": ident, "kind": kind, "requester": requester, "agent": None, "title": title,
                "digest": f"digest-{ident}", "state": "pending", "at": self.clock(),
                "expires_at": None, "decided_at": None, "decided_by": None, "note": None,
                "started_at": None, "closed_at": None, "error": None, "result": None, **facts,
            }  # fmt: skip
            self.approvals[ident] = row
            self.shown_of[ident] = {"title": title, **(shown or {})}
            self._told("approval", "added", row, requester, requester)
            return ident

    def decide(self, ident: int, state: str, **facts: Any) -> None:
        """Move an approval on; what is over says since when."""
        with self.changed:
            over = state in ("done", "failed", "denied", "cancelled")
            row = self.approvals[ident]
            row.update(state=state, decided_by=OPERATOR, **facts)
            row["closed_at"] = self.clock() if over else None
            self._told("approval", "resolved" if over else "changed", row, row["requester"])

    def remind(self, agent: str, text: str, **facts: Any) -> int:
        """Let an agent be reminded later."""
        with self.changed:
            ident, at = len(self.reminders) + 1, self.clock()
            row = {
                "id": ident, "agent": agent, "state": "pending", "preview": text[:PREVIEW],
                "bytes": len(text.encode()), "at": at, "due_at": at + 600, "next_at": at + 600,
                "file_path": None, "repeat_every_seconds": None, "attempts": 0,
                "last_error": None, "late": False, "deliveries": 0, "delivered_at": None,
                "message": None, "closed_at": None, **facts,
            }  # fmt: skip
            self.reminders[ident] = row
            self._told("reminder", "added", row, agent, agent)
            return ident

    def move_reminder(self, ident: int, state: str, **facts: Any) -> None:
        """Deliver, fail, cancel or retry a reminder."""
        with self.changed:
            row = self.reminders[ident]
            step, was = "changed" if state == "pending" else state, row["state"]
            is_open = state in ("pending", "failed")
            row.update(state=state, closed_at=None if is_open else self.clock(), **facts)
            self._told("reminder", step, row, row["agent"], was=was)
