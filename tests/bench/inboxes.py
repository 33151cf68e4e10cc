"""Messages that were there before: put into inboxes in process, many to a commit."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Final

from hyperhive import config
from hyperhive.bootstrap import running
from hyperhive.domain import actors
from tests.bench.hives import MANAGER, Declared

CALLERS: Final = 250
_SAID: Final = (
    "the store writes a commit flushes its log while reading pages nothing of this queue waits",
    "patch review branch docs failing test on main after merge please look at what it says",
)
_WORDS: Final = " ".join(_SAID).split()


def text(number: int) -> str:
    """Write about 200 characters that are no others, so that they compress as people's do."""
    return f"{number}: {' '.join(random.Random(number).choices(_WORDS, k=38))}"


async def fill(hive: Declared, count: int, recipients: Sequence[str]) -> None:
    """Let the manager send ``count`` messages, to each of ``recipients`` in turn."""
    left = iter(range(count))
    to = itertools.cycle(recipients)
    async with running(config.load(hive.path), with_agents=False) as run:

        async def caller() -> None:
            for number in left:
                await run.messages.send(actors.agent(MANAGER), next(to), text(number))

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
