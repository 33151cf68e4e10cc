"""How the turn of an agent program ended, whichever program it was.

The words for the operator are written here, so that the same trouble reads the same with every
program. Only what a program reported as an error, or its exit status, comes in here; never text
that an agent wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from hyperhive.domain.turns import TurnOutcome
from hyperhive.harness.drivers.port import TurnResult, Usage


class Trouble(StrEnum):
    """Why a program could not finish a turn."""

    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    NOT_LOGGED_IN = "not_logged_in"
    NO_CREDENTIAL = "no_credential"
    UNPAID = "unpaid"
    SPENT = "spent"
    TOO_LONG = "too_long"
    NO_SESSION = "no_session"
    OTHER = "other"


OUTCOMES: Final[Mapping[Trouble, TurnOutcome]] = {
    Trouble.RATE_LIMITED: TurnOutcome.RATE_LIMITED,
    # An outage is not the message's doing: as a failure it would use up all attempts in minutes.
    Trouble.UNAVAILABLE: TurnOutcome.RATE_LIMITED,
    Trouble.NOT_LOGGED_IN: TurnOutcome.NEEDS_LOGIN,
    Trouble.NO_CREDENTIAL: TurnOutcome.NEEDS_LOGIN,
    Trouble.UNPAID: TurnOutcome.NEEDS_LOGIN,
    Trouble.SPENT: TurnOutcome.FAILED,
    Trouble.TOO_LONG: TurnOutcome.FAILED,
    Trouble.NO_SESSION: TurnOutcome.FAILED,
    Trouble.OTHER: TurnOutcome.FAILED,
}

_SENTENCES: Final[Mapping[Trouble, str]] = {
    Trouble.RATE_LIMITED: "The model's provider limits the rate",
    Trouble.UNAVAILABLE: "The model cannot be reached or is overloaded",
    Trouble.NOT_LOGGED_IN: "The model's provider refused the credential",
    Trouble.NO_CREDENTIAL: "The model's provider needs a credential that the agent does not have",
    Trouble.UNPAID: "The account at the model's provider has no credit",
    Trouble.SPENT: "The turn reached its spending limit",
    Trouble.TOO_LONG: "The conversation is too long for the model",
    Trouble.NO_SESSION: "The conversation to continue does not exist",
    Trouble.OTHER: "The program reported an error",
}

_REMEDIES: Final[Mapping[Trouble, str]] = {
    Trouble.NOT_LOGGED_IN: "Log the agent in: hyperhive login <agent>.",
    Trouble.NO_CREDENTIAL: "Declare its file in the agent's credentials, by that name.",
    Trouble.UNPAID: "Add credit to the account, or give the agent another credential.",
    Trouble.SPENT: "Raise limits.spendPerTurnUsd or limits.spendPerDayUsd, or split the work.",
    Trouble.TOO_LONG: "Begin a new session for the agent.",
}


@dataclass(frozen=True, slots=True)
class End:
    """How a run of a program ended: well, if there is no trouble."""

    trouble: Trouble | None = None
    said: str = ""
    """The program's own words."""
    resets_at: float | None = None
    """When a rate limit ends (unix time), if the provider said so."""

    def result(self, usage: Usage | None, tools: Mapping[str, int]) -> TurnResult:
        """Put the end into what the loop is told."""
        if self.trouble is None:
            return TurnResult(TurnOutcome.OK, usage=usage, tools=tools)
        outcome = OUTCOMES[self.trouble]
        until = self.resets_at if outcome is TurnOutcome.RATE_LIMITED else None
        return TurnResult(outcome, self.describe(), usage, tools, resets_at=until)

    def describe(self) -> str:
        """Say in a sentence or two what happened and what to do."""
        if self.trouble is None:
            return "It ended well."
        until = ""
        if self.resets_at is not None:
            when = datetime.fromtimestamp(self.resets_at, UTC)
            until = f" until {when:%Y-%m-%dT%H:%M:%SZ}"
        said = f": {self.said[:500].rstrip('.')}" if self.said else ""
        sentence = f"{_SENTENCES[self.trouble]}{until}{said}."
        return f"{sentence} {_REMEDIES.get(self.trouble, '')}".rstrip()


def trouble_of_status(status: int) -> Trouble:
    """Return what an HTTP status of the model's API means."""
    match status:
        case 401 | 403:
            return Trouble.NOT_LOGGED_IN
        case 402:
            return Trouble.UNPAID
        case 429:
            return Trouble.RATE_LIMITED
        case 413:
            return Trouble.TOO_LONG
        case _:
            return Trouble.UNAVAILABLE if status >= 500 else Trouble.OTHER
