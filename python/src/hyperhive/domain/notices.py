"""What the operator should hear of while nobody looks at the page, and in which words.

A notice says that something waits and where; what an agent wrote is in it only on request,
because whoever carries notices may keep them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.events import Event, EventKind

LISTED_MAX: Final = 20
"""So many things are named in one notification; of the rest it says how many there are."""

WEBHOOK_ALERT: Final = "webhook"
"""The key of the alert that notifications do not arrive: it is no news for those."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that wants the operator: what kind, which, about whom.

    ``says`` is a sentence of the hive's own, ``text`` what an agent wrote, ``page`` where on the
    operator's page it is dealt with.
    """

    seq: int
    at: float
    kind: str
    id: int | str
    agent: str | None
    says: str
    text: str
    page: str

    def as_json(self, *, with_text: bool) -> dict[str, Any]:
        """Give the shape that is sent."""
        told: dict[str, Any] = {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "id": self.id,
            "agent": self.agent,
            "says": self.says,
        }
        return {**told, "text": self.text} if with_text else told


def notice_of(event: Event) -> Notice | None:
    """Say what an event is to the operator, or ``None`` when it can wait for the page."""
    match event.kind:
        case EventKind.APPROVAL_ADDED:
            asked = event.data["approval"]
            says = f"{asked['requester']} asks for your approval (number {asked['id']})."
            who = asked["requester"]
            return _notice(event, "approval", asked["id"], who, says, asked["title"], "decisions")
        case EventKind.QUESTION_ADDED:
            asked = event.data["question"]
            if asked["target"] != OPERATOR:
                return None
            says = f"{asked['asker']} asks you a question (number {asked['id']})."
            who = asked["asker"]
            return _notice(
                event, "question", asked["id"], who, says, asked["question"], "decisions"
            )
        case EventKind.MESSAGE_QUEUED:
            sent = event.data["message"]
            if sent["to"] != OPERATOR:
                return None
            says = f"{sent['from']} has written to you (message {sent['id']})."
            return _notice(
                event, "message", sent["id"], sent["from"], says, sent["preview"], "messages"
            )
        case EventKind.ALERT_RAISED:
            raised: Mapping[str, Any] = event.data
            if raised["key"] == WEBHOOK_ALERT:
                return None
            whom = f" about {event.agent}" if event.agent else ""
            severe = "An error" if raised["severity"] == "error" else "An alert"
            says = f"{severe}{whom} stands on the page."
            return _notice(event, "alert", raised["key"], event.agent, says, raised["text"], "hive")
        case _:
            return None


def notification(
    hive: str, page_url: str, notices: Sequence[Notice], *, with_text: bool
) -> dict[str, Any]:
    """Put notices into one notification.

    ``text`` is what chat services show of it; the rest is for programs.
    """
    listed = notices[:LISTED_MAX]
    lines = [f"{each.says} {each.text}".strip() if with_text else each.says for each in listed]
    if len(notices) > len(listed):
        lines.append(f"{len(notices) - len(listed)} more things wait.")
    pages = {each.page for each in notices}
    page = f"{page_url}/#/{pages.pop()}" if len(pages) == 1 else page_url
    return {
        "hive": hive,
        "text": "\n".join([f"Hive {hive}:", *lines, page]),
        "url": page,
        "count": len(notices),
        "notices": [each.as_json(with_text=with_text) for each in listed],
    }


def _notice(
    event: Event, kind: str, number: int | str, agent: str | None, says: str, text: str, page: str
) -> Notice:
    return Notice(event.seq, event.at, kind, number, agent, says, text, page)
