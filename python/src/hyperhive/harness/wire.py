"""What the server says to a harness, as values.

Unknown keys are ignored, so that a newer server can say more; a missing key or a wrong type is
a WireError that names it. No model library here: importing one would cost more than the rest of
the harness together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from hyperhive.domain.turns import TurnKind
from hyperhive.harness.drivers.cli_settings import CliSettings, read_cli_settings

T = TypeVar("T")


class WireError(Exception):
    """The server said something this harness cannot understand."""


class Verb(StrEnum):
    """What the operator or the hive can tell a running harness."""

    CANCEL = "cancel"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """What the declaration says about how turns are run."""

    kind: str
    command: tuple[str, ...]
    script: str | None
    model: str | None
    fallback_model: str | None
    extra_args: tuple[str, ...]
    turn_limit_seconds: float
    cli: CliSettings = field(default_factory=CliSettings)
    """What only the drivers of agent programs use."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server's answer to hello."""

    agent: str
    system_prompt: str
    driver: DriverSettings
    heartbeat_seconds: float
    turn: int | None
    """The turn that the server holds open for this session; ``None``: it holds none."""


@dataclass(frozen=True, slots=True)
class Command:
    """An order to a running harness; ``turn`` is ``None`` when it means whichever runs."""

    verb: Verb
    turn: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is handed to a turn; ``attempt`` is 1 at the first delivery."""

    id: int
    sender: str
    to: str
    at: float
    body: str
    in_reply_to: int | None
    broadcast: bool
    attempt: int
    redelivered: bool
    hint: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the server wrote it."""
        return {
            "id": self.id,
            "from": self.sender,
            "to": self.to,
            "at": self.at,
            "body": self.body,
            "in_reply_to": self.in_reply_to,
            "broadcast": self.broadcast,
            "attempt": self.attempt,
            "redelivered": self.redelivered,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class WorkTurn:
    """A turn to run: its messages, and how many more wait behind them."""

    id: int
    messages: tuple[Message, ...]
    waiting: int
    kind: TurnKind = TurnKind.WORK
    model: str | None = None
    """The model of this turn; ``None``: the declared one."""
    fresh: bool = False
    """Whether the conversation is to be forgotten first."""
    note: str | None = None
    """What the hive itself tells the agent."""
    spend_usd: float | None = None
    """What this turn may cost at most, in US dollars; ``None``: what is declared."""

    def settings(self, declared: DriverSettings) -> DriverSettings:
        """Return the declared settings with what this turn has of its own."""
        spend = declared.cli.spend_usd if self.spend_usd is None else self.spend_usd
        return replace(
            declared,
            model=self.model or declared.model,
            cli=replace(declared.cli, spend_usd=spend),
        )


def read_welcome(data: Mapping[str, Any]) -> Welcome:
    """Read the first line of a session stream."""
    if data.get("type") != "welcome":
        raise WireError(f"The session began with {data.get('type')!r}, not with a welcome.")
    driver = _take(data, "driver", dict)
    return Welcome(
        agent=_take(data, "agent", str),
        system_prompt=_take(data, "system_prompt", str),
        driver=DriverSettings(
            kind=_take(driver, "kind", str),
            command=_texts(driver, "command"),
            script=_take_or_none(driver, "script", str),
            model=_take_or_none(driver, "model", str),
            fallback_model=_take_or_none(driver, "fallback_model", str),
            extra_args=_texts(driver, "extra_args"),
            turn_limit_seconds=_number(driver, "turn_limit_seconds"),
            cli=_cli(driver),
        ),
        heartbeat_seconds=_number(data, "heartbeat_seconds"),
        turn=_take_or_none(data, "turn", int),
    )


def read_command(data: Mapping[str, Any]) -> Command:
    """Read a ``command`` line of a session stream."""
    try:
        verb = Verb(_take(data, "verb", str))
    except ValueError as error:
        raise WireError(f"This harness does not know the command {data['verb']!r}.") from error
    reason = _take_or_none(data, "reason", str) or ""
    return Command(verb, _take_or_none(data, "turn", int), reason)


def read_work(data: Mapping[str, Any]) -> WorkTurn | None:
    """Read the answer to a wait for work; ``None`` when there is none yet.

    An older server says only which messages there are.
    """
    turn = _take_or_none(data, "turn", dict)
    if turn is None:
        return None
    messages = _take(turn, "messages", list)
    kind = _take_or_none(turn, "kind", str) or TurnKind.WORK.value
    if kind not in set(TurnKind):
        raise WireError(f"This harness does not know turns of the kind {kind!r:.80}.")
    return WorkTurn(
        id=_take(turn, "id", int),
        messages=tuple(read_message(message) for message in messages),
        waiting=_take(turn, "waiting", int),
        kind=TurnKind(kind),
        model=_take_or_none(turn, "model", str),
        fresh=_take_or_none(turn, "fresh", bool) or False,
        note=_take_or_none(turn, "note", str),
        spend_usd=None if turn.get("spend_usd") is None else _number(turn, "spend_usd"),
    )


def read_message(data: object) -> Message:
    """Read one message."""
    if not isinstance(data, Mapping):
        raise WireError(f"A message is an object, not {type(data).__name__}.")
    return Message(
        id=_take(data, "id", int),
        sender=_take(data, "from", str),
        to=_take(data, "to", str),
        at=_number(data, "at"),
        body=_take(data, "body", str),
        in_reply_to=_take_or_none(data, "in_reply_to", int),
        broadcast=_take(data, "broadcast", bool),
        attempt=_take(data, "attempt", int),
        redelivered=_take(data, "redelivered", bool),
        hint=_take_or_none(data, "hint", str),
    )


def _cli(driver: Mapping[str, Any]) -> CliSettings:
    try:
        return read_cli_settings(driver)
    except (ValueError, TypeError, AttributeError) as error:
        raise WireError(f"The settings of the agent's program make no sense: {error}.") from error


def _take(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = data.get(key)
    # A bool is an int to Python, but never a number to the server.
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise WireError(f"{key!r} is {value!r:.80}, which is not {kind.__name__}.")


def _take_or_none(data: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    return None if data.get(key) is None else _take(data, key, kind)


def _number(data: Mapping[str, Any], key: str) -> float:
    value = data.get(key)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(data[key]) if is_whole else _take(data, key, float)


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _take_or_none(data, key, list) or []
    if not all(isinstance(value, str) for value in values):
        raise WireError(f"{key!r} is a list of texts, not {values!r:.80}.")
    return tuple(values)
