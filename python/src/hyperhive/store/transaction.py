"""What a job sees of the database while it runs: one moment of it, and a way to tell of changes.

A job is a plain function of one of these, with no await in it. `Writing` puts a fact and its
event into the same commit: whatever calls `Writing.record` is stored with its rows, or not at
all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic_core import to_json
from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy import Row as AnyRow

from hyperhive.domain.actors import Actor
from hyperhive.domain.events import EventKind
from hyperhive.store import engine

__all__ = ["Asking", "Reading", "Row", "Writing", "dumps", "number_of"]


Row = AnyRow[Any]
"""A row of a result, its columns as attributes."""


class Asking(Protocol):
    """What both kinds of job can do: ask."""

    @property
    def now(self) -> float:
        """When the job began (seconds since the epoch)."""
        ...

    def execute(
        self,
        statement: Executable,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run one statement."""
        ...


@dataclass(slots=True)
class Reading:
    """A consistent view for a job that only reads."""

    connection: Connection
    now: float

    def execute(
        self,
        statement: Executable,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run one statement."""
        return engine.execute(self.connection, statement, values)


@dataclass(slots=True)
class Writing:
    """The transaction of a job that writes.

    ``seq`` is that of the last event so far, this job's own included. ``names`` are what the
    commit will ring on the bus.
    """

    connection: Connection
    now: float
    seq: int
    events: list[dict[str, Any]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    undoing: list[Callable[[], None]] = field(default_factory=list)

    def execute(
        self,
        statement: Executable,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run one statement."""
        return engine.execute(self.connection, statement, values)

    def record(
        self,
        kind: EventKind,
        actor: Actor | str,
        data: Mapping[str, Any],
        *,
        agent: str | None = None,
        subject: int | None = None,
    ) -> int:
        """Tell of a fact and return its ``seq``; it commits with the rows of this job.

        ``subject`` is the number of the message that the fact is about, so that one message's
        history can be found.
        """
        self.seq += 1
        self.events.append(
            {
                "seq": self.seq,
                "at": self.now,
                "kind": kind.value,
                "agent": agent,
                "actor": actor if isinstance(actor, str) else actor.name,
                "subject": subject,
                "data_json": dumps(data),
            }
        )
        return self.seq

    def wake(self, name: str) -> None:
        """Ring ``name`` on the bus once this is committed."""
        self.names.add(name)

    def then(self, act: Callable[[], None]) -> None:
        """Do something on the event loop once this is committed, before anybody is answered.

        What is remembered beside the database is changed so: never for what was not stored.
        """
        self.afterwards.append(act)

    def unless_stored(self, undo: Callable[[], None]) -> None:
        """Have ``undo`` called, on the writer's thread, if this job comes to nothing.

        For what the following jobs of the same commit must already see, so that it cannot wait
        until `then`.
        """
        self.undoing.append(undo)


def number_of(done: CursorResult[Any]) -> int:
    """Give the number that an inserted row got."""
    key = done.inserted_primary_key
    if key is None:
        raise LookupError("the statement has inserted no single row")
    return int(key[0])


def dumps(value: Any) -> str:
    """Write a value as compact JSON."""
    return to_json(value).decode()
