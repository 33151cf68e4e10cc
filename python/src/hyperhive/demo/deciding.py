"""What the operator decides in the demo: a question, a new agent, a change of its configuration.

Played headless the clicks come over the operator's API. On a terminal they are the user's: the
story says where to click and which command does the same, and waits for as long as that takes.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from hyperhive.bootstrap import Running
from hyperhive.client import OperatorClient
from hyperhive.demo.publishing import PublishingStory
from hyperhive.demo.story import Event, StoryError
from hyperhive.domain.approvals import ApprovalState
from hyperhive.domain.paths import HivePaths

NEW: Final = "carol"
"""The agent that the manager asks for."""
NOTE: Final = "notes/next-time.md"
_SPAWN_SECONDS: Final = 100.0
"""For what was approved to be done: a new agent may take 90 s to say hello."""
_CLOSED: Final = frozenset(
    state.value
    for state in (
        ApprovalState.DONE,
        ApprovalState.FAILED,
        ApprovalState.DENIED,
        ApprovalState.CANCELLED,
    )
)


class DecidingStory(PublishingStory):
    """The story with its last part; ``clicks`` says whether it decides by itself."""

    def __init__(
        self,
        run: Running,
        tell: Callable[[str], None],
        *,
        step_seconds: float,
        return_seconds: float,
        clicks: bool,
    ) -> None:
        super().__init__(run, tell, step_seconds=step_seconds, return_seconds=return_seconds)
        self._clicks = clicks
        self._patience = None if clicks else math.inf

    async def _go_on(self) -> None:
        await super()._go_on()
        await self._reminders()
        await self.decide()

    async def decide(self) -> None:
        """Play what needs the operator; a no to the new agent ends it, too."""
        await self._question()
        if not await self._decided("spawn", f"queen asks to spawn {NEW}"):
            return
        await self._message("system", "queen", "agent_spawned", f"queen is told that {NEW} came")
        await self._all_ready([NEW])
        self._done(f"{NEW} runs and has said hello")
        changed = await self._decided(
            "config_change", f"queen commits a change of {NEW}'s configuration and asks for it"
        )
        if changed:
            await self._message(NEW, "queen", "Proofread", f"{NEW}, changed, does her work")
            await self._message("queen", "operator", "Published", "the notes are published")

    async def _reminders(self) -> None:
        refused = await self._message(
            "bob", "queen", "refused", "bob's reminder into /etc is refused, and he says so"
        )
        self._same("file_path" in refused["preview"], True, "the refusal names what is wrong")
        found = await self._event(
            lambda event: event["kind"] == "reminder_delivered" and event["agent"] == "alice",
            "alice's reminder comes, its text in a file of her own",
        )
        row = found["data"]["reminder"]
        self._same(row["file_path"], NOTE, "the reminder names its file")
        paths = HivePaths(self._run.hive.state_dir, self._run.hive.run_dir)
        if not (paths.agents / "alice" / "state" / NOTE).is_file():
            raise StoryError(f"alice's reminder is not in {NOTE}")

    async def _question(self) -> None:
        found = await self._event(
            lambda event: event["kind"] == "question_added",
            "queen asks the operator a question with options",
        )
        question = found["data"]["question"]
        number, options = question["id"], question["options"]
        if self._clicks:
            await self._click(lambda operator: operator.answer(number, options[0]))
        else:
            self._tell(f"» {question['question']} ({' / '.join(options)})")
            self._tell(f"» Answer on the page, or: hyperhive answer {number} '{options[0]}'")
        await self._event(
            lambda event: (
                event["kind"] == "question_answered" and event["data"]["question"]["id"] == number
            ),
            "the operator answers",
            within=self._patience,
        )

    async def _decided(self, kind: str, text: str) -> bool:
        """See an approval asked for and decided; whether it was a yes."""
        found = await self._event(
            lambda event: (
                event["kind"] == "approval_added" and event["data"]["approval"]["kind"] == kind
            ),
            text,
            within=self._return_seconds,
        )
        approval = found["data"]["approval"]
        number, title = approval["id"], approval["title"]
        if self._clicks:
            await self._click(lambda operator: operator.approve(number, approval["digest"]))
        else:
            self._tell(f"» {title}: decide on the page, or: hyperhive approve {number}")

        def is_closed(event: Event) -> bool:
            data: dict[str, Any] = event["data"].get("approval", {})
            return data.get("id") == number and data.get("state") in _CLOSED

        closed = await self._event(
            is_closed, f"the operator decides: {title}", within=self._patience or _SPAWN_SECONDS
        )
        state = str(closed["data"]["approval"]["state"])
        if state in (ApprovalState.DENIED, ApprovalState.CANCELLED) and not self._clicks:
            return False
        self._same(state, ApprovalState.DONE.value, title)
        return True

    async def _click(self, act: Callable[[OperatorClient], object]) -> None:
        """Do over the API what a click on the page does."""

        def job() -> None:
            with OperatorClient(self._run.listeners.admin_socket) as operator:
                act(operator)

        await asyncio.to_thread(job)
