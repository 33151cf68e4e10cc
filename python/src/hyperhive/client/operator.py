"""The operator's API as one typed method per endpoint.

Every method waits for the answer, raises the domain's error for a refusal, and returns the
answer as it came. A message is sent under a key of its own, so a connection that breaks cannot
double it.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final, Self, cast
from urllib.parse import quote

from hyperhive.client import answers
from hyperhive.client.connections import ANSWER_SECONDS, HttpCaller, query
from hyperhive.client.streams import EventStream
from hyperhive.domain.errors import HiveError

ARCHIVE_SECONDS: Final = 600.0
"""How long a backup or restore may take before the client gives up waiting."""


class OperatorClient:
    """Speaks to a hive as its operator.

    ``address`` is the admin socket's path, which needs no login, or ``http://host:port`` with
    the operator's ``secret``. Threads may share a client; `close` it or use it as a context.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        secret: str | None = None,
        *,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> None:
        headers = {"Accept": "application/json"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        self._caller = HttpCaller(os.fspath(address), headers, timeout_seconds)

    def close(self) -> None:
        """Close idle connections."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def health(self) -> answers.Health:
        """Ask whether the server answers; needs no login."""
        return cast(answers.Health, self._get("/api/health"))

    def state(self) -> answers.Snapshot:
        """Take a snapshot of the hive; `events` from its ``seq`` keep it true."""
        return cast(answers.Snapshot, self._get("/api/state"))

    def send(
        self, to: str, body: str, *, in_reply_to: int | None = None, key: str | None = None
    ) -> answers.SentByOperator:
        """Send a message to an agent, ``manager`` or ``*``; it is on disk when this returns.

        Sending again under the same ``key`` within 24 hours sends nothing and gives the first
        answer; without one, each call is a message.
        """
        given: dict[str, object] = {"to": to, "body": body, "key": key or os.urandom(16).hex()}
        if in_reply_to is not None:
            given["in_reply_to"] = in_reply_to
        return cast(answers.SentByOperator, self._post("/api/messages", given, repeatable=True))

    def messages(
        self,
        *,
        before: int | None = None,
        limit: int = 50,
        agent: str | None = None,
        state: str | None = None,
    ) -> answers.MessagePage:
        """List messages from or to ``agent``, newest first, older than ``before``."""
        target = query("/api/messages", before=before, limit=limit, agent=agent, state=state)
        return cast(answers.MessagePage, self._get(target))

    def message(self, message_id: int) -> answers.MessageDetail:
        """Get a message with its body and history."""
        return cast(answers.MessageDetail, self._get(f"/api/messages/{message_id}"))

    def requeue(self, message_id: int) -> answers.MessageChange:
        """Give a dead message back to its recipient, with its attempts forgotten."""
        return self._change(message_id, "requeue")

    def drop(self, message_id: int) -> answers.MessageChange:
        """Give a dead message up for good."""
        return self._change(message_id, "drop")

    def mark_read(self, message_id: int) -> answers.MessageChange:
        """Mark a message to the operator as read."""
        return self._change(message_id, "read")

    def turns(self, agent: str, *, before: int | None = None, limit: int = 50) -> answers.TurnPage:
        """List an agent's turns, newest first."""
        target = f"/api/agents/{quote(agent, safe='')}/turns"
        return cast(answers.TurnPage, self._get(query(target, before=before, limit=limit)))

    def turn_events(
        self, turn_id: int, *, after: int | None = None, limit: int = 500
    ) -> answers.TurnEventPage:
        """List a turn's transcript, oldest first, from after line ``after``."""
        target = query(f"/api/turns/{turn_id}/events", after=after, limit=limit)
        return cast(answers.TurnEventPage, self._get(target))

    def history(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        agent: str | None = None,
        kind: str | None = None,
    ) -> answers.HistoryPage:
        """List events, newest first, older than the position ``before``."""
        target = query("/dashboard/history", before=before, limit=limit, agent=agent, kind=kind)
        return cast(answers.HistoryPage, self._get(target))

    def events(
        self,
        after: int | None = None,
        *,
        epoch: str | None = None,
        patience_seconds: float | None = None,
        on_disconnect: Callable[[HiveError], None] | None = None,
    ) -> Iterator[answers.Event]:
        """Give out every event after the position ``after`` (now, if absent), live, for ever.

        A connection that breaks is made again and nothing is missed or repeated: for ever, or
        until ``patience_seconds`` without success. ``epoch`` (a snapshot's) makes sure that the
        position is of the same history. Raises `StreamResetError` when the server cannot go on
        from there, and `UnavailableError` when the first connection fails.
        """
        return EventStream(
            self._caller,
            after,
            epoch,
            patience_seconds=patience_seconds,
            on_disconnect=on_disconnect,
        ).follow()

    def audit(self, *, before: int | None = None, limit: int = 50) -> answers.AuditPage:
        """List who did what, newest first."""
        return cast(answers.AuditPage, self._get(query("/api/audit", before=before, limit=limit)))

    def backup(self) -> answers.BackupMade:
        """Make a backup while the hive runs; the path is on the server's machine."""
        made = self._post("/api/backup", {}, timeout_seconds=ARCHIVE_SECONDS)
        return cast(answers.BackupMade, made)

    def restore(self, path: str | os.PathLike[str]) -> answers.Restored:
        """Put a backup in place of the present database; over the admin socket only."""
        given = {"path": os.fspath(path)}
        restored = self._post("/api/restore", given, timeout_seconds=ARCHIVE_SECONDS)
        return cast(answers.Restored, restored)

    def login_link(self) -> answers.LoginLink:
        """Make a link that logs a browser in once; over the admin socket only."""
        return cast(answers.LoginLink, self._post("/api/login-link", None))

    def _change(self, message_id: int, verb: str) -> answers.MessageChange:
        return cast(answers.MessageChange, self._post(f"/api/messages/{message_id}/{verb}", None))

    def _get(self, target: str) -> Any:
        return self._caller.call("GET", target, repeatable=True).json()

    def _post(
        self,
        target: str,
        body: Any,
        *,
        repeatable: bool = False,
        timeout_seconds: float | None = None,
    ) -> Any:
        return self._caller.call(
            "POST", target, body, repeatable=repeatable, timeout_seconds=timeout_seconds
        ).json()
