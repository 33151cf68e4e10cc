"""What the agents do on the forge in the demo: a repository, a pull request, a page in the docs."""

from collections.abc import Callable
from typing import Final

from hyperhive.config import ForgeKind
from hyperhive.demo.story import Event, Story

PAGE: Final = "release-notes.md"


class PublishingStory(Story):
    """The story with the forge's part, where the hive has a forge."""

    @property
    def _has_forge(self) -> bool:
        return self._run.hive.forge.kind is not ForgeKind.NONE

    async def _prepare(self) -> None:
        if self._has_forge:
            await self._event(
                lambda event: (
                    event["kind"] == "forge_changed" and event["data"]["forge"]["state"] == "ready"
                ),
                "the forge has an account for each of them",
                within=self._return_seconds,
            )

    async def _go_on(self) -> None:
        if not self._has_forge:
            return
        await self._event(_pull("open", "alice"), "alice pushes the notes to a repository of hers")
        await self._message("system", "bob", "asks you to review", "bob is told: he is to review")
        await self._event(_pull("merged", "alice"), "bob approves her pull request and merges it")
        await self._message("system", "alice", "bob merged", "alice is told")
        await self._message("queen", "bob", PAGE, "queen puts the notes into the docs")
        for name in ("alice", "bob"):
            await self._message(name, "queen", "Read: # What is new", f"{name} reads them there")


def _pull(state: str, author: str) -> Callable[[Event], bool]:
    def is_it(event: Event) -> bool:
        if event["kind"] != "pull_request_changed":
            return False
        found = event["data"]["pull_request"]
        return bool(found["state"] == state and found["author"] == author)

    return is_it
