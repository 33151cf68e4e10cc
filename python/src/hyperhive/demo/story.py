"""What happens in the demo, told from the hive's own events, each step within its time.

Nothing here is staged but the operator's goal and the kill: the agents are processes of their
own and find each other through the hive. A step that does not come in time fails the story.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from hyperhive.bootstrap import Running
from hyperhive.config import RuntimeKind
from hyperhive.domain.actors import THE_OPERATOR

GOAL: Final = "Publish the release notes of the new version."
STEP_SECONDS: Final = 20.0
RETURN_SECONDS: Final = 30.0
"""For a killed agent to be back: its back-off is 5 s, the rest is a slow machine's."""

Event = Mapping[str, Any]


class StoryError(Exception):
    """A step of the story did not happen."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that happened: what, and how long after the one before (seconds)."""

    text: str
    seconds: float


class Story:
    """Plays the story once and keeps a list of its steps; ``tell`` gets a line for each."""

    def __init__(
        self,
        run: Running,
        tell: Callable[[str], None],
        *,
        step_seconds: float = STEP_SECONDS,
        return_seconds: float = RETURN_SECONDS,
    ) -> None:
        self._run = run
        self._tell = tell
        self._step_seconds = step_seconds
        self._return_seconds = return_seconds
        self._events: list[Event] = []
        self._seq = run.store.bus.seq
        self._last = time.monotonic()
        self.steps: list[Step] = []

    async def play(self) -> None:
        """Play it through; raises `StoryError` at the first step that fails."""
        names = list(self._run.hive.agents)
        await self._all_ready(names)
        self._done(f"{len(names)} agents run {self._where()} and have said hello")
        await self._prepare()
        goal = await self._run.messages.send(THE_OPERATOR, "manager", GOAL)
        await self._message("operator", "queen", "", "the operator's goal reaches the manager")
        await self._message("queen", "alice", "Our goal", "queen broadcasts it: alice", copy=True)
        await self._message("queen", "bob", "Our goal", "queen broadcasts it: bob", copy=True)
        await self._message("queen", "alice", "draft", "alice gets work")
        await self._message("queen", "bob", "ready", "bob gets work")
        asked = await self._message("alice", "bob", "Which", "alice asks bob and waits")
        answer = await self._message("bob", "alice", "Fixes", "bob answers her")
        self._same(answer["in_reply_to"], asked["id"], "bob's answer names the question")
        await self._message("alice", "queen", "Draft", "alice sends the draft to the manager")
        check = await self._message("queen", "bob", "check", "bob is to check it")
        await self._kill_in_mid_turn("bob", check["id"])
        await self._message("bob", "queen", "Checked", "bob has finished the second time")
        await self._message("queen", "operator", "ready", "a message to the operator arrives")
        await self._event(
            lambda event: event["kind"] == "message_acked" and event["data"]["id"] == goal["id"],
            "the goal's message is settled",
        )
        await self._go_on()
        await self._nothing_left()

    async def _prepare(self) -> None:
        """Wait for what the story needs besides its agents: nothing, unless a longer one does."""

    async def _go_on(self) -> None:
        """Play what follows the operator's goal: nothing, unless a longer story says what."""

    def _where(self) -> str:
        kinds = {agent.runtime for agent in self._run.hive.agents.values()}
        walls = kinds == {RuntimeKind.BUBBLEWRAP}
        return "in boxes of their own" if walls else "as processes of their own"

    async def _kill_in_mid_turn(self, name: str, message: int) -> None:
        """Kill an agent while it works on a message, and see the message come back."""
        await self._event(
            lambda event: event["kind"] == "turn_started" and message in event["data"]["messages"],
            f"{name} begins his turn with it",
        )
        reconciler = self._run.reconciler
        instance = (await reconciler.observe()).get(name) if reconciler is not None else None
        if instance is None or instance.pid is None:
            raise StoryError(f"{name} has no process that could be killed")
        os.kill(instance.pid, signal.SIGKILL)
        self._done(f"{name} is killed in mid-turn (SIGKILL, pid {instance.pid})")
        released = await self._event(
            lambda event: event["kind"] == "message_released" and event["data"]["id"] == message,
            "his message is back in the inbox, flagged as delivered before",
        )
        self._same(released["data"]["redelivered"], True, "the message is flagged")
        self._same(released["data"]["attempts"], 1, "the death counts as an attempt")
        await self._event(
            lambda event: event["kind"] == "turn_started" and message in event["data"]["messages"],
            f"{name} is started again and has it a second time",
            within=self._return_seconds,
        )

    async def _all_ready(self, names: list[str]) -> None:
        async with _within("not every agent came up", self._return_seconds):
            while any(self._run.agents.state_of(name) != "ready" for name in names):
                await self._more()

    async def _nothing_left(self) -> None:
        """See that every inbox is empty and nothing is dead."""

        async def is_settled() -> bool:
            state = await self._run.snapshots.state()
            return not state["dead"] and not any(
                any(agent["inbox"].values()) for agent in state["agents"]
            )

        async with _within("some messages are not settled", self._step_seconds):
            while not await is_settled():
                await self._more()
        self._done("every inbox is empty, and no message is dead")

    async def _message(
        self, sender: str, to: str, part: str, text: str, *, copy: bool = False
    ) -> Mapping[str, Any]:
        def is_it(event: Event) -> bool:
            if event["kind"] != "message_queued":
                return False
            sent = event["data"]["message"]
            return bool(
                sent["from"] == sender
                and sent["to"] == to
                and part in sent["preview"]
                and sent["broadcast"] == copy
            )

        found = await self._event(is_it, text)
        sent: Mapping[str, Any] = found["data"]["message"]
        return sent

    async def _event(
        self, is_it: Callable[[Event], bool], text: str, *, within: float | None = None
    ) -> Event:
        """Wait for an event of this story and note it as a step."""
        async with _within(f"this did not happen: {text}", within or self._step_seconds):
            while True:
                for at, event in enumerate(self._events):
                    if is_it(event):
                        del self._events[at]
                        self._done(text)
                        return event
                await self._more()

    async def _more(self) -> None:
        """Take up what the hive has told since, waiting for it if there is nothing."""
        with self._run.store.bus.watch() as watch:
            fresh = await self._run.feed.after(self._seq)
            if not fresh:
                await watch.wait()
                return
            self._seq = fresh[-1].seq
            self._events += [json.loads(event.text) for event in fresh]

    def _same(self, seen: object, expected: object, claim: str) -> None:
        if seen != expected:
            raise StoryError(f"{claim}: expected {expected!r}, saw {seen!r}")

    def _done(self, text: str) -> None:
        now = time.monotonic()
        self.steps.append(Step(text, now - self._last))
        self._last = now
        self._tell(text)


@asynccontextmanager
async def _within(failure: str, seconds: float) -> AsyncIterator[None]:
    """Turn a time that has passed into a failure of the story."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise StoryError(f"{failure} (within {seconds:g} s)") from None
