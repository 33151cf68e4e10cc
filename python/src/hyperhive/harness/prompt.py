"""The wake prompt: what a turn reads on its standard input, and nothing else.

A note of the hive comes first. A message's text stands unchanged between two lines with a mark
that its sender could not know, so that no text can pass for another message or for a word of the
hive.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from hyperhive.domain.turns import TurnKind
from hyperhive.harness.wire import Message, WorkTurn

CHECKPOINT: Final = """\
This turn is a checkpoint: no message came. What you know from this conversation may be gone after \
it. Write down in your state directory ($HYPERHIVE_STATE) what you must remember: what you are \
working on and for whom, what is done and what comes next, who waits for what, where the files \
are. Keep what is still true of your earlier notes. Begin nothing new, write to nobody, and end \
your turn."""


def compose_prompt(turn: WorkTurn, mark: str | None = None) -> str:
    """Write the prompt of ``turn``; ``mark`` is random unless given."""
    return "\n".join(_lines(turn, mark or os.urandom(6).hex())) + "\n"


def _lines(turn: WorkTurn, mark: str) -> Iterator[str]:
    if turn.note:
        yield f"A note of the hive: {turn.note}"
        yield ""
    if turn.kind is TurnKind.CHECKPOINT:
        yield CHECKPOINT
        return
    for message in turn.messages:
        yield from _heading(message)
        yield f"--- {mark}"
        yield message.body
        yield f"--- {mark}"
    if turn.waiting:
        yield f"{turn.waiting} more waiting."


def _heading(message: Message) -> Iterator[str]:
    when = datetime.fromtimestamp(message.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    answers = "" if message.in_reply_to is None else f", in reply to {message.in_reply_to}"
    yield f"Message {message.id} from {message.sender}, {when}{answers}:"
    if message.redelivered:
        yield f"This is delivery attempt {message.attempt}: you may have handled this already."
    if message.hint:
        yield message.hint
