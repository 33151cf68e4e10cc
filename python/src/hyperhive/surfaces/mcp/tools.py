"""The tools, worded for a model. None has a sender: the socket says who calls.

A tool is its arguments, its words and one call of a service. Every tool may safely be called
again with the same request number; whoever adds one keeps that.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import Field

from hyperhive.config.agents import MANAGER_TOOLS, PermissionPrompts
from hyperhive.domain.actors import OPERATOR
from hyperhive.domain.messages import (
    BODY_BYTES_MAX,
    RECV_MESSAGES_MAX,
    RECV_WAIT_SECONDS_MAX,
)
from hyperhive.services.agents import STATUS_CHARS_MAX, Agents
from hyperhive.services.messages import Messages
from hyperhive.services.questions import Questions
from hyperhive.services.quotas import Quotas
from hyperhive.services.reminders import Reminders
from hyperhive.services.threads import Threads
from hyperhive.store import Store
from hyperhive.surfaces.bounds import GIVEN_KEY_CHARS_MAX, Number
from hyperhive.surfaces.mcp import reminders as reminder_tools
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.permissions import PERMISSION_PROMPT
from hyperhive.surfaces.mcp.tool import Arguments, Tool


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


class Ask(Arguments):
    """Arguments of ``ask``."""

    question: str = Field(
        description="What you need to know, with what the other must know to answer it."
    )
    options: list[str] = Field(
        default_factory=list,
        description="Answers to choose from, at most 20. A free text is always possible, too.",
    )
    multi: bool = Field(default=False, description="Whether several options may be chosen.")
    ttl_seconds: float | None = Field(
        default=None,
        description="After how long you no longer need the answer; you are then told that it "
        "expired. Never, if left out.",
    )
    to: str = Field(
        default=OPERATOR, description="Whom to ask: `operator` (the human), `manager`, or an agent."
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=GIVEN_KEY_CHARS_MAX,
        description="A unique text of your choice. Asking again with the same key within 24 hours "
        "does not ask twice.",
    )


class AnswerTo(Arguments):
    """Arguments of ``answer``."""

    id: Number = Field(description="The id of the question, as `question_asked` gives it.")
    answer: str | list[str] = Field(
        description="Your answer: an option or a text of your own; a list where `multi` is true."
    )


class CancelThread(Arguments):
    """Arguments of ``cancel_thread``."""

    kind: str = Field(description="The thread's `kind`, as `get_open_threads` gives it.")
    id: Number = Field(description="The thread's `id`, as `get_open_threads` gives it.")


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

ASK: Final = """\
Ask the operator (the human) or another agent something that you need to know. It returns an id \
at once and does not wait: go on with other work, or end your turn. The answer arrives in your \
inbox as `question_answered`, with who answered. Nothing but a person or the agent you asked ever \
answers; with `ttl_seconds` you are told when the time is over."""

ANSWER: Final = """\
Answer a question that was put to you, by the id in its `question_asked` message. Whoever asked \
is told at once. The first answer counts; an answer after the question expired still arrives, as \
late. You can only answer questions that are yours to answer."""

GET_OPEN_THREADS: Final = """\
List what hangs on you: questions you asked or owe an answer to, pending approvals, reminders, \
messages of yours that were not taken up or are dead, pull requests. The manager sees the whole \
hive's. Look here when you have lost track of what you wait for, and who waits for you."""

CANCEL_THREAD: Final = """\
Withdraw something of yours that `get_open_threads` lists, by its kind and id, when it no longer \
matters; whoever it concerns is told. A message can be withdrawn while nobody has seen it. The \
manager can withdraw any agent's."""

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

    def __init__(
        self,
        store: Store,
        agents: Agents,
        messages: Messages,
        quotas: Quotas,
        questions: Questions,
        threads: Threads,
        reminders: Reminders,
    ) -> None:
        """Begin with the tools of messages, questions and threads; `add` brings the others."""
        self._store = store
        self._agents = agents
        self._messages = messages
        self._quotas = quotas
        self._questions = questions
        self._threads = threads
        self.tools: dict[str, Tool] = {
            tool.name: tool
            for tool in (
                Tool("recv", RECV, Recv, self._recv),
                Tool("send", SEND, Send, self._send),
                Tool("ack", ACK, Ack, self._ack),
                Tool("ask", ASK, Ask, self._ask),
                Tool("answer", ANSWER, AnswerTo, self._answer),
                Tool(
                    "get_open_threads",
                    GET_OPEN_THREADS,
                    Nothing,
                    self._get_open_threads,
                    reads_only=True,
                ),
                Tool("cancel_thread", CANCEL_THREAD, CancelThread, self._cancel_thread),
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
                *reminder_tools.tools(reminders),
            )
        }

    def add(self, tools: Iterable[Tool]) -> None:
        """Offer more tools, before the first agent asks which there are."""
        self.tools |= {tool.name: tool for tool in tools}

    def is_manager(self, agent: str) -> bool:
        """Whether this agent leads the others."""
        return agent == self._agents.roster.manager

    def granted(self, agent: str) -> list[Tool]:
        """Give the tools that the declaration grants an agent."""
        return [tool for name, tool in self.tools.items() if self._grants(agent, name)]

    def tool(self, agent: str, name: str) -> Tool | None:
        """Give a tool by its name if it is there and granted to the agent."""
        return self.tools.get(name) if self._grants(agent, name) else None

    def _grants(self, agent: str, name: str) -> bool:
        if name in MANAGER_TOOLS and not self.is_manager(agent):
            return False
        declared = self._agents.hive.agents.get(agent)
        if name == PERMISSION_PROMPT:
            # Of its program, not of the model: no list of tools grants it or takes it away.
            operator = PermissionPrompts.OPERATOR
            return declared is not None and declared.driver.permission_prompts is operator
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

    async def _ask(self, call: Call, given: Ask) -> dict[str, Any]:
        return await self._questions.ask(
            call.actor,
            given.question,
            options=given.options,
            multi=given.multi,
            ttl_seconds=given.ttl_seconds,
            to=given.to,
            key=call.key(given.key),
        )

    async def _answer(self, call: Call, given: AnswerTo) -> dict[str, Any]:
        return await self._questions.answer(
            call.actor, given.id, given.answer, via="mcp", key=call.key(None)
        )

    async def _get_open_threads(self, call: Call, _given: Nothing) -> dict[str, Any]:
        return await self._threads.seen_by(call.actor)

    async def _cancel_thread(self, call: Call, given: CancelThread) -> dict[str, Any]:
        return await self._threads.cancel(call.actor, given.kind, given.id, via="mcp")

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
