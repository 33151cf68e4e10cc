"""The tools, worded for a model. None has a sender: the socket says who calls.

A tool is its arguments, its words and one call of a service. Every tool may safely be called
again with the same request number; whoever adds one keeps that.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from hyperhive.domain.messages import (
    BODY_BYTES_MAX,
    RECV_MESSAGES_MAX,
    RECV_WAIT_SECONDS_MAX,
)
from hyperhive.services.agents import STATUS_CHARS_MAX, Agents
from hyperhive.services.messages import Messages
from hyperhive.services.quotas import Quotas
from hyperhive.store import Store
from hyperhive.surfaces.bounds import GIVEN_KEY_CHARS_MAX, Number
from hyperhive.surfaces.mcp.calls import Call


class Arguments(BaseModel):
    """What a tool takes; anything else is refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as an agent meets it, and what it does."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Call, Any], Awaitable[dict[str, Any]]]
    reads_only: bool = False


class Send(Arguments):
    """Arguments of ``send``."""

    to: str = Field(description="An agent's name, `manager`, `operator`, or `*` for everyone.")
    body: str = Field(
        description=f"The text, at most {BODY_BYTES_MAX} bytes of UTF-8 unless `whoami` says "
        "otherwise."
    )
    in_reply_to: Number | None = Field(
        default=None, description="The id of the message this answers, if it answers one."
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=GIVEN_KEY_CHARS_MAX,
        description="A unique text of your choice. Sending again with the same key within 24 "
        "hours does not send twice.",
    )


class Recv(Arguments):
    """Arguments of ``recv``."""

    wait_seconds: float = Field(
        default=0,
        ge=0,
        le=RECV_WAIT_SECONDS_MAX,
        description="How long to wait for a message if there is none. 0 looks once.",
    )
    max: int = Field(
        default=1, ge=1, le=RECV_MESSAGES_MAX, description="How many messages to take at most."
    )


class Ack(Arguments):
    """Arguments of ``ack``."""

    ids: list[Number] = Field(max_length=1000, description="The ids of messages you have handled.")


class Nothing(Arguments):
    """No arguments."""


class SetStatus(Arguments):
    """Arguments of ``set_status``."""

    text: str = Field(
        description=f"One line, at most {STATUS_CHARS_MAX} characters; empty to clear it."
    )


class MessageStatus(Arguments):
    """Arguments of ``message_status``."""

    id: Number = Field(description="The id that `send` returned.")


SEND: Final = """\
Send a message to another agent, to `manager`, to `operator` (the human), or to `*` (everyone). \
It is stored safely before this returns and wakes the receiver; you need not wait or check. \
Write so that the receiver can act without asking back. For long texts, write a file under the \
shared directory and send its path."""

RECV: Final = """\
Receive your next messages, oldest first. With `wait_seconds` it waits until one arrives: use \
that instead of sleeping or polling. A message with a `hint` may already have been handled or may \
need nothing from you. What you receive within a turn is settled when the turn ends well."""

ACK: Final = """\
Settle messages you have handled. Within a turn this is not needed: the turn's end does it. A \
client that is connected by hand must ack within 15 minutes, or gets the message again."""

LIST_AGENTS: Final = """\
List the agents of this hive: role, what each is for, what it is doing now, and whether you may \
message it."""

WHOAMI: Final = """\
Tell who you are in this hive: your name, your role, who the manager is, whom you may message, \
and what you have used of your quotas."""

SET_STATUS: Final = """\
Show one line about what you are doing beside your name, for the operator and the other agents."""

MESSAGE_STATUS: Final = """\
Tell where a message that you sent is: queued, being worked on, handled, or dead, and since when."""


class Toolbox:
    """The tools, each tied to its service."""

    def __init__(self, store: Store, agents: Agents, messages: Messages, quotas: Quotas) -> None:
        self._store = store
        self._agents = agents
        self._messages = messages
        self._quotas = quotas
        self.tools: dict[str, Tool] = {
            tool.name: tool
            for tool in (
                Tool("recv", RECV, Recv, self._recv),
                Tool("send", SEND, Send, self._send),
                Tool("ack", ACK, Ack, self._ack),
                Tool("list_agents", LIST_AGENTS, Nothing, self._list_agents, reads_only=True),
                Tool("whoami", WHOAMI, Nothing, self._whoami, reads_only=True),
                Tool("set_status", SET_STATUS, SetStatus, self._set_status),
                Tool(
                    "message_status",
                    MESSAGE_STATUS,
                    MessageStatus,
                    self._message_status,
                    reads_only=True,
                ),
            )
        }

    def granted(self, agent: str) -> list[Tool]:
        """Give the tools that the declaration grants an agent."""
        return [tool for name, tool in self.tools.items() if self._grants(agent, name)]

    def tool(self, agent: str, name: str) -> Tool | None:
        """Give a tool by its name if it is there and granted to the agent."""
        return self.tools.get(name) if self._grants(agent, name) else None

    def _grants(self, agent: str, name: str) -> bool:
        declared = self._agents.hive.agents.get(agent)
        return declared is None or declared.tools is None or name in declared.tools

    async def _send(self, call: Call, given: Send) -> dict[str, Any]:
        return await self._messages.send(
            call.actor,
            given.to,
            given.body,
            in_reply_to=given.in_reply_to,
            key=call.key(given.key),
        )

    async def _recv(self, call: Call, given: Recv) -> dict[str, Any]:
        got = await self._messages.receive(
            call.agent,
            wait_seconds=given.wait_seconds,
            count=given.max,
            holder=call.holder(self._store.clock()),
            caller=call.caller,
        )
        if got["messages"]:
            call.delivers = True
        elif self._store.bus.closed:
            call.cut_short = True
        return got

    async def _ack(self, call: Call, given: Ack) -> dict[str, Any]:
        return await self._messages.ack(call.agent, given.ids, in_turn=call.turn is not None)

    async def _list_agents(self, call: Call, _given: Nothing) -> dict[str, Any]:
        return await self._agents.listing(call.actor)

    async def _whoami(self, call: Call, _given: Nothing) -> dict[str, Any]:
        tools = [tool.name for tool in self.granted(call.agent)]
        quotas = await self._quotas.of(call.agent)
        return {**await self._agents.whoami(call.actor), "tools": tools, "quotas": quotas}

    async def _set_status(self, call: Call, given: SetStatus) -> dict[str, Any]:
        return await self._agents.set_status(call.actor, given.text)

    async def _message_status(self, call: Call, given: MessageStatus) -> dict[str, Any]:
        return await self._messages.status(call.actor, given.id)
