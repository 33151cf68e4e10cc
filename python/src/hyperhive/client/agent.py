"""An agent's tools over its socket: a small MCP client, made by hand.

The socket is the identity: whoever can open it is the agent. A call is one JSON-RPC
``tools/call``; the server keeps no session, so a client outlives the server's restarts. Each
call bears an identifier of its own that its retries share, by which the server knows a retry and
does nothing twice. What a call delivered is confirmed once it is here, so that messages leased to
a client that died on the way are given to the next.
"""

import json
import os
import time
from collections.abc import Sequence
from typing import Any, Final, Self, cast
from urllib.parse import quote

from hyperhive.client.answers import Answered, Asked, Cancelled, Received, SentByAgent, Threads
from hyperhive.client.connections import ANSWER_SECONDS, HttpCaller, Reply
from hyperhive.client.refusals import refusal_of_rpc, refusal_of_tool, tool_text
from hyperhive.domain.errors import HiveError, UnavailableError

REQUEST_HEADER: Final = "Hyperhive-Request"
TURN_HEADER: Final = "Hyperhive-Turn"
DELIVERY_HEADER: Final = "Hyperhive-Delivery"

PATIENCE_SECONDS: Final = 5.0
"""How long a call outlasts a server that is away, such as one that restarts."""

_BACKOFF_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


class AgentClient:
    """Calls the tools of the agent whose socket this is.

    ``turn`` names the turn the calls belong to, if any: its end acks what was received in it;
    without one, `ack` does. Threads may share a client; `close` it or use it as a context.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        *,
        turn: int | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> None:
        headers = {"Accept": "application/json, text/event-stream"}
        if turn is not None:
            headers[TURN_HEADER] = str(turn)
        self._caller = HttpCaller(os.fspath(socket_path), headers, timeout_seconds)
        self._patience_seconds = patience_seconds

    def close(self) -> None:
        """Close idle connections."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, tool: str, /, **arguments: Any) -> Any:
        """Call a tool by name and give its structured result.

        Arguments that are ``None`` are left out. Raises the domain's error when the tool
        refuses, `UnavailableError` when the server stays away longer than the patience. Messages
        that could not be confirmed are not returned: they will be delivered again.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        request = os.urandom(16).hex()
        asked = {
            "jsonrpc": "2.0",
            "id": request,
            "method": "tools/call",
            "params": {"name": tool, "arguments": given},
        }
        wait = given.get("wait_seconds", 0)
        waited = float(wait) if isinstance(wait, (int, float)) else 0.0
        headers = {REQUEST_HEADER: request}
        reply = self._insist("/mcp", asked, headers, self._caller.timeout_seconds + waited)
        result = _result(reply)
        if delivery := reply.headers.get(DELIVERY_HEADER):
            target = f"/deliveries/{quote(delivery, safe='')}/confirm"
            self._insist(target, None, {}, self._caller.timeout_seconds)
        return result

    def send(
        self, to: str, body: str, *, in_reply_to: int | None = None, key: str | None = None
    ) -> SentByAgent:
        """Send a message to an agent, ``manager``, ``operator`` or ``*``."""
        sent = self.call("send", to=to, body=body, in_reply_to=in_reply_to, key=key)
        return cast(SentByAgent, sent)

    def recv(self, wait_seconds: float = 0, max: int = 1) -> Received:  # noqa: A002 - the tool's word
        """Lease the oldest messages, up to ``max`` (32); wait up to 50 s for the first."""
        return cast(Received, self.call("recv", wait_seconds=wait_seconds, max=max))

    def ack(self, ids: Sequence[int]) -> dict[str, Any]:
        """Say that messages received outside a turn are dealt with."""
        return cast(dict[str, Any], self.call("ack", ids=list(ids)))

    def message_status(self, message_id: int) -> dict[str, Any]:
        """Ask where a message that this agent sent is."""
        return cast(dict[str, Any], self.call("message_status", id=message_id))

    def ask(
        self,
        question: str,
        options: Sequence[str] = (),
        *,
        multi: bool = False,
        ttl_seconds: float | None = None,
        to: str | None = None,
        key: str | None = None,
    ) -> Asked:
        """Ask the operator, or ``to``; the answer comes as a message."""
        asked = self.call(
            "ask",
            question=question,
            options=list(options),
            multi=multi,
            ttl_seconds=ttl_seconds,
            to=to,
            key=key,
        )
        return cast(Asked, asked)

    def answer(self, question_id: int, answer: str | Sequence[str]) -> Answered:
        """Answer a question that was put to this agent."""
        given = answer if isinstance(answer, str) else list(answer)
        return cast(Answered, self.call("answer", id=question_id, answer=given))

    def get_open_threads(self) -> Threads:
        """List what hangs on this agent; to the manager, what hangs in the hive."""
        return cast(Threads, self.call("get_open_threads"))

    def cancel_thread(self, kind: str, number: int) -> Cancelled:
        """Withdraw what a thread of this agent's stands for."""
        return cast(Cancelled, self.call("cancel_thread", kind=kind, id=number))

    def remind(
        self,
        message: str,
        *,
        delay_seconds: float | None = None,
        at_unix_timestamp: float | None = None,
        file_path: str | None = None,
        repeat_every_seconds: float | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Have a message sent to this agent later; give exactly one of the two times."""
        kept = self.call(
            "remind",
            message=message,
            delay_seconds=delay_seconds,
            at_unix_timestamp=at_unix_timestamp,
            file_path=file_path,
            repeat_every_seconds=repeat_every_seconds,
            key=key,
        )
        return cast(dict[str, Any], kept)

    def list_reminders(self, reminder_id: int | None = None) -> dict[str, Any]:
        """List this agent's open reminders, the next first, or give one with its whole text."""
        return cast(dict[str, Any], self.call("list_reminders", id=reminder_id))

    def cancel_reminder(self, reminder_id: int) -> dict[str, Any]:
        """Take one of this agent's reminders back."""
        return cast(dict[str, Any], self.call("cancel_reminder", id=reminder_id))

    def list_agents(self) -> dict[str, Any]:
        """List the agents of the hive and what they are doing."""
        return cast(dict[str, Any], self.call("list_agents"))

    def whoami(self) -> dict[str, Any]:
        """Ask who this agent is, and what it has left of its quotas."""
        return cast(dict[str, Any], self.call("whoami"))

    def set_status(self, text: str) -> dict[str, Any]:
        """Say in a line what this agent is doing."""
        return cast(dict[str, Any], self.call("set_status", text=text))

    def _insist(
        self, target: str, body: Any, headers: dict[str, str], timeout_seconds: float
    ) -> Reply:
        """Send a request until it is answered or the patience is used up."""
        until = time.monotonic() + self._patience_seconds
        failures = 0
        while True:
            try:
                return self._caller.call(
                    "POST",
                    target,
                    body,
                    headers=headers,
                    timeout_seconds=timeout_seconds,
                    repeatable=True,
                )
            except UnavailableError:
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                if time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                failures += 1


def _result(reply: Reply) -> Any:
    """Read a JSON-RPC answer: the tool's structured result, or its text as JSON."""
    answer = reply.json()
    if not isinstance(answer, dict):
        raise HiveError(
            "The server's answer is no JSON-RPC.", "Check that this is an agent's socket."
        )
    if isinstance(error := answer.get("error"), dict):
        raise refusal_of_rpc(error)
    result = answer.get("result")
    if not isinstance(result, dict):
        raise HiveError(
            "The server's answer has no result.", "Check that this is an agent's socket."
        )
    if result.get("isError"):
        raise refusal_of_tool(result)
    if (structured := result.get("structuredContent")) is not None:
        return structured
    text = tool_text(result)
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}
