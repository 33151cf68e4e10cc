"""The hot questions are answered from an index, whatever else the database holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.messages import MessageState
from hyperhive.domain.reminders import ReminderState
from hyperhive.store import (
    Writing,
    engine,
    events,
    messages,
    reminders,
    request_keys,
    retention,
    turns,
)
from hyperhive.store.messages import Holder
from tests.builders import a_store

pytestmark = pytest.mark.anyio

QUEUED = "message USING INDEX ix_message_queued (recipient=? AND state=?)"
QUEUED_ONLY = "message USING COVERING INDEX ix_message_queued (recipient=? AND state=?)"
OPEN_REMINDERS = "reminder USING INDEX ix_reminder_open (closed_at=? AND agent=?"

EXPECTED: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "lease": (
        lambda work: messages.lease(work, "alice", 1, Holder(turn=1)),
        {f"SEARCH {QUEUED}"},
    ),
    "has_deliverable": (
        lambda asking: messages.has_deliverable(asking, "alice"),
        {f"SEARCH {QUEUED_ONLY}"},
    ),
    "next_due": (lambda asking: messages.next_due(asking, "alice"), {f"SEARCH {QUEUED_ONLY}"}),
    "waiting": (
        lambda asking: messages.waiting(asking, "alice"),
        {"CO-ROUTINE anon_1", f"SEARCH {QUEUED_ONLY}", "SCAN anon_1"},
    ),
    "of_turn": (
        lambda asking: messages.of_turn(asking, 1),
        {"SEARCH message USING INDEX ix_message_turn (turn=?)"},
    ),
    "of_delivery": (
        lambda asking: messages.of_delivery(asking, "alice", "d"),
        {"SEARCH message USING INDEX ix_message_leased (recipient=? AND delivery=?)"},
    ),
    "confirm": (
        lambda work: messages.confirm(work, "alice", "d"),
        {"SEARCH message USING INDEX ix_message_leased (recipient=? AND delivery=?)"},
    ),
    "confirm_turn": (
        lambda work: messages.confirm_turn(work, 1),
        {"SEARCH message USING INDEX ix_message_turn (turn=?)"},
    ),
    "overdue": (messages.overdue, {"SEARCH message USING INDEX ix_message_turn (turn=?)"}),
    "unread_by_operator": (
        messages.unread_by_operator,
        {"SEARCH message USING COVERING INDEX ix_message_unread (recipient=? AND read_at=?)"},
    ),
    "find": (
        lambda asking: messages.find(asking, 1),
        {"SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"},
    ),
    "the dead": (
        lambda asking: messages.search(asking, before=9, limit=100, state=MessageState.DEAD),
        {"SEARCH message USING INDEX ix_message_dead (state=? AND id<?)"},
    ),
    "the messages of an agent": (
        lambda asking: messages.search(asking, before=9, limit=100, agent="alice"),
        {
            "SEARCH message USING INDEX ix_message_recipient (recipient=? AND id<?)",
            "SEARCH message USING INDEX ix_message_sender (sender=? AND id<?)",
        },
    ),
    "open_turns": (
        turns.open_turns,
        # At most one an agent: sorting them costs nothing.
        {"SEARCH turn USING INDEX ix_turn_open (ended_at=?)", "USE TEMP B-TREE FOR ORDER BY"},
    ),
    "open_turns of one": (
        lambda asking: turns.open_turns(asking, "alice"),
        {"SEARCH turn USING INDEX ix_turn_open (ended_at=? AND agent=?)"},
    ),
    "events of a message": (
        lambda asking: events.of_message(asking, 1),
        {"SEARCH event USING INDEX ix_event_subject (subject=?)"},
    ),
    "events after": (
        lambda asking: events.after(asking, 1, 10),
        {"SEARCH event USING INTEGER PRIMARY KEY (rowid>?)"},
    ),
    "reminders that are due": (
        lambda asking: reminders.due(asking, 50),
        {"SEARCH reminder USING INDEX ix_reminder_due (state=? AND next_at<?)"},
    ),
    "reminders that are due in a flood": (
        lambda asking: reminders.due(asking, 0),
        {
            "SEARCH reminder USING INDEX ix_reminder_due (state=? AND next_at<?)",
            "SEARCH reminder USING COVERING INDEX ix_reminder_due_of (state=? AND agent>?)",
        },
    ),
    "reminders of an agent that are due": (
        lambda asking: reminders.due_of(asking, "alice", 5),
        {"SEARCH reminder USING INDEX ix_reminder_due_of (state=? AND agent=? AND next_at<?)"},
    ),
    "when the next reminder is due": (
        reminders.next_at,
        {"SEARCH reminder USING COVERING INDEX ix_reminder_due (state=?)"},
    ),
    "a reminder": (
        lambda asking: reminders.find(asking, 1),
        {"SEARCH reminder USING INTEGER PRIMARY KEY (rowid=?)"},
    ),
    "texts in a file": (
        lambda asking: reminders.texts_written_to(asking, "alice", "x"),
        {
            f"SEARCH reminder USING INDEX ix_reminder_written (agent=? AND written=?{came})"
            for came in (" AND message>?", " AND message=?")
        },
    ),
    "how many reminders an agent has open": (
        lambda asking: reminders.count_open(asking, "alice"),
        {f"SEARCH {OPEN_REMINDERS.replace('INDEX', 'COVERING INDEX')} AND state=?)"},
    ),
    "how many reminders of an agent failed": (
        lambda asking: reminders.count_failed(asking, "alice"),
        {f"SEARCH {OPEN_REMINDERS.replace('INDEX', 'COVERING INDEX')} AND state=?)"},
    ),
    "an agent's next reminder": (
        lambda asking: reminders.next_of(asking, "alice"),
        {f"SEARCH {OPEN_REMINDERS} AND state=?)"},
    ),
    "an agent's open reminders": (
        # At most as many as the quota allows: sorting them costs little.
        lambda asking: reminders.open_of(asking, "alice"),
        {f"SEARCH {OPEN_REMINDERS})", "USE TEMP B-TREE FOR ORDER BY"},
    ),
    "an agent's oldest open reminders": (
        lambda asking: reminders.oldest_open(asking, "alice", 10),
        {f"SEARCH {OPEN_REMINDERS})", "USE TEMP B-TREE FOR ORDER BY"},
    ),
    "reminders of the snapshot": (
        reminders.standing,
        {
            "SEARCH reminder USING INDEX ix_reminder_due (state=?)",
            "SEARCH reminder USING INDEX ix_reminder_failed (state=?)",
        },
    ),
    "how many reminders there are": (
        reminders.counts,
        {"SEARCH reminder USING COVERING INDEX ix_reminder_open (closed_at=?)"},
    ),
    "reminders that failed": (
        lambda asking: reminders.search(asking, before=9, limit=9, state=ReminderState.FAILED),
        {"SEARCH reminder USING INDEX ix_reminder_failed (state=? AND id<?)"},
    ),
    "the reminders of an agent": (
        lambda asking: reminders.search(asking, before=9, limit=9, agent="alice"),
        {"SEARCH reminder USING INDEX ix_reminder_agent (agent=? AND id<?)"},
    ),
    "a key": (
        lambda asking: request_keys.answer_to(asking, "alice", "k", "f"),
        {
            "SEARCH request_key USING INDEX sqlite_autoindex_request_key_1 (actor=? AND key=?)",
        },
    ),
}


class Explaining:
    """Passes statements on, and keeps what the database plans for each."""

    def __init__(self, work: Writing) -> None:
        self.now = work.now
        self.plans: list[str] = []
        self._work = work

    def execute(self, statement: Any, values: Any = None) -> Any:
        connection = self._work.connection
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        given = compiled.construct_params(values if isinstance(values, dict) else None)
        # Bound like in earnest: a plan made with the values would know more than the real one.
        ordered = [given[name] for name in compiled.positiontup or ()]
        found = engine.driver(connection).execute(f"EXPLAIN QUERY PLAN {compiled}", ordered)
        self.plans += [row[3] for row in found]
        return self._work.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


async def plans_of(tmp_path: Path, ask: Callable[[Any], Any]) -> list[str]:
    async with a_store(tmp_path) as store:

        def explained(work: Writing) -> list[str]:
            explaining = Explaining(work)
            ask(explaining)
            return explaining.plans

        return await store.write(explained)


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_hot_question_is_answered_from_its_index(tmp_path: Path, name: str) -> None:
    ask, expected = EXPECTED[name]

    assert set(await plans_of(tmp_path, ask)) == expected


async def test_inboxes_are_counted_without_reading_what_is_settled(tmp_path: Path) -> None:
    plans = await plans_of(tmp_path, messages.inbox_counts)

    read = {step.split(" (")[0] for step in plans if "TEMP B-TREE" not in step}
    assert read <= {
        f"{how} message USING {which}INDEX ix_message_{state}"
        for how in ("SCAN", "SEARCH")
        for which in ("", "COVERING ")
        for state in ("queued", "leased", "dead", "turn")
    }


async def test_retention_reads_no_history_to_its_end(tmp_path: Path) -> None:
    plans = await plans_of(tmp_path, lambda work: retention.delete_some(work, retention.Keep()))

    # In the order of its key a table is read up to the limit; logins are few.
    scans = {step for step in plans if step.startswith("SCAN")}
    by_key = {"SCAN event", "SCAN turn_event USING COVERING INDEX sqlite_autoindex_turn_event_1"}
    assert scans <= {*by_key, "SCAN login"}
    assert not [step for step in plans if "TEMP B-TREE" in step]
