"""The life of a question: open, then answered, expired or cancelled; expired ones can be answered.

Only its target answers, or the operator, who may answer any. Time answers nothing: a question
that expires is told of by ``ttl-watchdog``, and an answer that comes later still counts, as late.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from hyperhive.domain.actors import Actor
from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, TooLargeError

WATCHDOG: Final = "ttl-watchdog"
"""Who tells of an expiry; no agent can bear this name."""
EXPIRED_ANSWER: Final = "[expired]"
QUESTION_BYTES_MAX: Final = 8 * 1024
ANSWER_BYTES_MAX: Final = 8 * 1024
OPTIONS_MAX: Final = 20
OPTION_CHARS_MAX: Final = 200
TTL_SECONDS_MAX: Final = 365 * 24 * 3600.0
CLOSED_SHOWN: Final = 50
"""How many closed questions stay in sight."""

Answer = str | list[str]


class QuestionState(StrEnum):
    """Where a question is; ``answered`` and ``cancelled`` are final."""

    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


def check_question(
    question: str, options: Sequence[str], ttl_seconds: float | None, *, multi: bool
) -> None:
    """Refuse a question that cannot be asked so."""
    _check_text("question", question, QUESTION_BYTES_MAX)
    if len(options) > OPTIONS_MAX:
        raise InvalidError(f"There are {len(options)} options.", f"Give at most {OPTIONS_MAX}.")
    for option in options:
        _check_text("option", option, 4 * OPTION_CHARS_MAX)
        if len(option) > OPTION_CHARS_MAX:
            raise InvalidError(
                f"An option has {len(option)} characters.", f"Use at most {OPTION_CHARS_MAX}."
            )
    if len(set(options)) < len(options):
        raise InvalidError("Two options are the same.", "Give each one once.")
    if multi and not options:
        raise InvalidError("multi needs options to choose from.", "Give options, or leave it out.")
    if ttl_seconds is not None and not 1 <= ttl_seconds <= TTL_SECONDS_MAX:
        raise InvalidError(
            f"ttl_seconds is {ttl_seconds:g}.", f"Use 1 to {TTL_SECONDS_MAX:g}, or leave it out."
        )


def check_answer(answer: Answer, *, multi: bool) -> Answer:
    """Give an answer in the form its question asks for: of a ``multi`` one, always a list."""
    chosen = [answer] if isinstance(answer, str) else list(answer)
    if not chosen:
        raise InvalidError("The answer is empty.", "Choose at least one, or write a text.")
    if len(chosen) > 1 and not multi:
        raise InvalidError("The question takes one answer.", "Choose one, or write one text.")
    if len(chosen) > OPTIONS_MAX:
        raise InvalidError(f"The answer has {len(chosen)} parts.", f"Use at most {OPTIONS_MAX}.")
    _check_text("answer", "\n".join(chosen), ANSWER_BYTES_MAX)
    return chosen if multi else chosen[0]


def check_may_answer(actor: Actor, number: int, target: str) -> None:
    """Refuse an answer of anybody but the target and the operator."""
    if not actor.is_operator and actor.name != target:
        raise ForbiddenError(
            f"Question {number} is for {target}, not for you.",
            "Only its target can answer it, or the operator.",
        )


def is_late(number: int, state: QuestionState, answerer: str | None) -> bool:
    """Whether an answer now is a late one; raises `ConflictError` when none counts any more."""
    match state:
        case QuestionState.OPEN:
            return False
        case QuestionState.EXPIRED:
            return True
        case QuestionState.ANSWERED:
            raise ConflictError(
                f"Question {number} was already answered by {answerer}.",
                "The first answer counts; send a message if something has to be corrected.",
            )
        case QuestionState.CANCELLED:
            raise ConflictError(f"Question {number} was cancelled.", "Nobody waits for an answer.")


def check_may_cancel(number: int, state: QuestionState) -> None:
    """Refuse to cancel what is closed."""
    if state is not QuestionState.OPEN:
        raise ConflictError(f"Question {number} is {state}.", "Only an open one can be cancelled.")


def _check_text(what: str, text: str, limit: int) -> None:
    if not text.strip():
        raise InvalidError(f"The {what} is empty.", "Write what is meant.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidError(f"The {what} has lone surrogates.", "Send valid Unicode.") from None
    if size > limit:
        raise TooLargeError(what, size, limit, "Put the details into a file and name its path.")
