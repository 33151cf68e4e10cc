"""The operator's API as one typed method per endpoint.

Every method waits for the answer, raises the domain's error for a refusal, and returns the
answer as it came. A message is sent under a key of its own, so a connection that breaks cannot
double it. What is done to an agent is done when the answer comes, as far as it is recorded: the
events after the answer's ``seq`` tell how it is carried out.
"""

import os
from collections.abc import Callable, Iterator, Sequence
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

    def approvals(
        self, *, before: int | None = None, limit: int = 50, state: str | None = None
    ) -> dict[str, Any]:
        """List what was asked of the operator, newest first."""
        target = query("/api/approvals", before=before, limit=limit, state=state)
        return cast(dict[str, Any], self._get(target))

    def approval(self, number: int) -> dict[str, Any]:
        """Get one approval with ``shown``, exactly what its ``digest`` is of."""
        return cast(dict[str, Any], self._get(f"/api/approvals/{number}"))

    def approve(self, number: int, digest: str) -> dict[str, Any]:
        """Say yes to what ``digest`` is of; the events tell how it is carried out."""
        return cast(
            dict[str, Any], self._post(f"/api/approvals/{number}/approve", {"digest": digest})
        )

    def deny(self, number: int, note: str = "") -> dict[str, Any]:
        """Say no; whoever asked is told the note."""
        return cast(dict[str, Any], self._post(f"/api/approvals/{number}/deny", {"note": note}))

    def cancel_approval(self, number: int) -> dict[str, Any]:
        """Withdraw what nobody has decided."""
        return cast(dict[str, Any], self._post(f"/api/approvals/{number}/cancel", {}))

    def reminders(
        self,
        *,
        agent: str | None = None,
        state: str | None = None,
        text: str | None = None,
        due_after: float | None = None,
        due_before: float | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> dict[str, Any]:
        """List reminders, newest first, with the counts of each agent."""
        target = query(
            "/api/reminders",
            agent=agent,
            state=state,
            text=text,
            due_after=due_after,
            due_before=due_before,
            before=before,
            limit=limit,
        )
        return cast(dict[str, Any], self._get(target))

    def reminder(self, number: int) -> dict[str, Any]:
        """Get one reminder with its whole text, its attempts and its last error."""
        return cast(dict[str, Any], self._get(f"/api/reminders/{number}"))

    def cancel_reminder(self, number: int) -> dict[str, Any]:
        """Take a reminder back."""
        return cast(dict[str, Any], self._post(f"/api/reminders/{number}/cancel", None))

    def retry_reminder(self, number: int) -> dict[str, Any]:
        """Have a reminder delivered at once that was given up."""
        return cast(dict[str, Any], self._post(f"/api/reminders/{number}/retry", None))

    def turns(self, agent: str, *, before: int | None = None, limit: int = 50) -> answers.TurnPage:
        """List an agent's turns, newest first."""
        target = query(_agent(agent, "turns"), before=before, limit=limit)
        return cast(answers.TurnPage, self._get(target))

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

    def forge(self) -> answers.ForgeListing:
        """Show the forge, its pull requests, and what the hive keeps on it."""
        return cast(answers.ForgeListing, self._get("/api/forge"))

    def repositories(self) -> answers.RepositoryListing:
        """List the repositories on the forge, as they were at the hive's last look."""
        return cast(answers.RepositoryListing, self._get("/api/forge/repositories"))

    def forge_password(self) -> answers.ForgePassword:
        """Give the operator's account on the forge another password: told here, nowhere else."""
        return cast(answers.ForgePassword, self._post("/api/forge/password", {}))

    def rotate_token(self, account: str) -> answers.Rotated:
        """Make the token of an account on the forge anew; the one before it is void at once."""
        target = f"/api/forge/accounts/{quote(account, safe='')}/rotate"
        return cast(answers.Rotated, self._post(target, {}))

    def audit(self, *, before: int | None = None, limit: int = 50) -> answers.AuditPage:
        """List who did what, newest first."""
        return cast(answers.AuditPage, self._get(query("/api/audit", before=before, limit=limit)))

    def stop(self, agent: str) -> answers.Done:
        """Hold an agent: its box is stopped, and stays so until it is started again."""
        return self._act(agent, "stop")

    def start(self, agent: str) -> answers.Done:
        """Let an agent run again, whatever stopped it."""
        return self._act(agent, "start")

    def restart(self, agent: str, *, reason: str | None = None) -> answers.Done:
        """Begin to make an agent's box anew, as `restart_hive` does: its turn may end first."""
        return self._act(agent, "restart", reason)

    def rebuild(self, agent: str) -> answers.Done:
        """Read the declaration again, then restart an agent."""
        return self._act(agent, "rebuild")

    def cancel_turn(self, agent: str) -> answers.Done:
        """End the turn that an agent runs; its messages come again, no attempt is counted."""
        return self._act(agent, "cancel-turn")

    def compact(self, agent: str) -> answers.Done:
        """Have an agent compact its context before its next work."""
        return self._act(agent, "compact")

    def new_session(self, agent: str) -> answers.Done:
        """Have an agent's next turn begin a new conversation."""
        return self._act(agent, "new-session")

    def set_model(self, agent: str, model: str | None) -> answers.Done:
        """Have an agent use another model from its next turn on; ``None``: the declared one."""
        return cast(answers.Done, self._post(_agent(agent, "model"), {"model": model}))

    def pause(self, agent: str | None = None, *, reason: str | None = None) -> answers.Done:
        """Start no further turn, of one agent or (``None``) of the whole hive."""
        return self._act(agent, "pause", reason)

    def resume(self, agent: str | None = None) -> answers.Done:
        """Start turns again, of one agent or (``None``) of the whole hive."""
        return self._act(agent, "resume")

    def visit(self, agent: str) -> answers.Visit:
        """Start no turn of an agent while somebody works in its box; say which still runs.

        Ask again at least every minute: it ends by itself two minutes after it was last asked for.
        """
        return cast(answers.Visit, self._post(_agent(agent, "visit"), {}))

    def leave(self, agent: str) -> answers.Done:
        """End a visit."""
        return self._act(agent, "leave")

    def destroy(self, agent: str) -> answers.Done:
        """Remove a spawned agent; its state is kept as a tombstone."""
        return self._act(agent, "destroy")

    def spawn(
        self, name: str, description: str, *, system_prompt: str = "", model: str | None = None
    ) -> answers.Requested:
        """Ask for a new agent: an approval, as when the manager asks."""
        given = {
            "name": name,
            "description": description,
            "system_prompt": system_prompt,
            "model": model,
        }
        return cast(answers.Requested, self._post("/api/spawn", given))

    def revive(self, tombstone: str) -> answers.Done:
        """Bring back a spawned agent that was destroyed, as it was."""
        target = f"/api/tombstones/{quote(tombstone, safe='')}/revive"
        return cast(answers.Done, self._post(target, {}))

    def deployments(self, agent: str) -> answers.Deployments:
        """List what was deployed to a spawned agent, newest first."""
        return cast(answers.Deployments, self._get(_agent(agent, "deployments")))

    def redeploy(self, agent: str, revision: str) -> answers.Redeployed:
        """Deploy an earlier state again: a commit, its beginning, or ``deployed/N``."""
        given = {"revision": revision}
        return cast(answers.Redeployed, self._post(_agent(agent, "redeploy"), given))

    def update_inputs(self) -> answers.Requested:
        """Ask for the newest inputs of spawned agents: an approval, as when the manager asks."""
        return cast(answers.Requested, self._post("/api/hive/update-inputs", {}))

    def purge(self, tombstone: str) -> answers.Done:
        """Delete what a tombstone keeps, for good."""
        target = f"/api/tombstones/{quote(tombstone, safe='')}/purge"
        return cast(answers.Done, self._post(target, {}))

    def restart_hive(
        self, agents: Sequence[str] | None = None, *, reason: str | None = None
    ) -> answers.Done:
        """Begin to restart these agents, or all that run, in order: the manager first.

        It goes on after the answer: the event ``rollout_changed`` tells how far it is.
        """
        names = None if agents is None else list(agents)
        given = {"agents": names, **({} if reason is None else {"reason": reason})}
        return cast(answers.Done, self._post("/api/hive/restart", given))

    def plan(self, path: str | os.PathLike[str] | None = None) -> answers.Plan:
        """Say what `apply` would do, or what it would do with another declaration.

        ``path`` is a file on the server's machine.
        """
        if path is None:
            return cast(answers.Plan, self._get("/api/plan"))
        return cast(answers.Plan, self._post("/api/plan", {"path": os.fspath(path)}))

    def apply(self) -> answers.Applied:
        """Have the hive read its declaration again now and act on what changed."""
        return cast(answers.Applied, self._post("/api/apply", {}))

    def logs(self, agent: str, *, lines: int = 100) -> answers.Logs:
        """Give the last lines that an agent's processes wrote."""
        return cast(answers.Logs, self._get(query(_agent(agent, "logs"), lines=lines)))

    def quotas(self, agent: str) -> answers.QuotasOf:
        """Say what an agent has and has used of each quota."""
        return cast(answers.QuotasOf, self._get(_agent(agent, "quotas")))

    def questions(self, agent: str | None = None) -> answers.Questions:
        """List open questions and the last 50 closed, oldest first.

        Of those that ``agent`` asked or was asked; ``operator`` is you.
        """
        return cast(answers.Questions, self._get(query("/api/questions", agent=agent)))

    def question(self, number: int) -> answers.Question:
        """Get one question whole."""
        return cast(answers.Question, self._get(f"/api/questions/{number}"))

    def answer(self, number: int, answer: str | Sequence[str]) -> answers.Answered:
        """Answer a question, your own or another's in its stead; the first answer counts."""
        given = answer if isinstance(answer, str) else list(answer)
        target = f"/api/questions/{number}/answer"
        return cast(answers.Answered, self._post(target, {"answer": given}))

    def cancel_question(self, number: int) -> answers.Cancelled:
        """Withdraw an open question; whoever it concerns is told."""
        return cast(answers.Cancelled, self._post(f"/api/questions/{number}/cancel", {}))

    def threads(self, agent: str | None = None) -> answers.Threads:
        """List what hangs on an agent, or (``None``) in the whole hive, oldest first."""
        return cast(answers.Threads, self._get(query("/api/threads", agent=agent)))

    def cancel_thread(self, kind: str, number: int) -> answers.Cancelled:
        """Withdraw what a thread stands for."""
        target = f"/api/threads/{quote(kind, safe='')}/{number}/cancel"
        return cast(answers.Cancelled, self._post(target, {}))

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

    def _act(self, agent: str | None, verb: str, reason: str | None = None) -> answers.Done:
        target = f"/api/hive/{verb}" if agent is None else _agent(agent, verb)
        given = {} if reason is None else {"reason": reason}
        return cast(answers.Done, self._post(target, given))

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


def _agent(name: str, what: str) -> str:
    return f"/api/agents/{quote(name, safe='')}/{what}"
