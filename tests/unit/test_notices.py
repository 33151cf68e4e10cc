"""The operator is told of what waits, never of what waited before, and never too often."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.events import Event, EventKind
from hyperhive.domain.notices import LISTED_MAX, notice_of, notification
from hyperhive.services.notices import Notices
from hyperhive.store import Store, alerts
from tests.builders import Desk, ManualClock, a_hive, a_store, wired

pytestmark = pytest.mark.anyio


class Pigeonhole:
    """A poster that keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Any]] = []
        self.fault: str | None = None

    async def post(self, notification: Mapping[str, Any]) -> None:
        if self.fault is not None:
            raise UnavailableError(self.fault)
        self.kept.append(notification)

    @property
    def told(self) -> list[list[str]]:
        return [[each["says"] for each in posted["notices"]] for posted in self.kept]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def desk(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Desk]:
    webhook = {"urlFile": "./url", "perMinute": 2}
    hive = a_hive(tmp_path, tmp_path / "run", hive={"operator": {"webhook": webhook}})
    async with a_store(tmp_path, clock=clock) as store:
        yield await wired(store, hive)


def notices_of(desk: Desk, hole: Pigeonhole) -> Notices:
    return Notices(desk.store, desk.agents, hole, lambda: "http://hive.test")


async def begun(desk: Desk) -> tuple[Notices, Pigeonhole]:
    hole = Pigeonhole()
    notices = notices_of(desk, hole)
    assert await notices.tell() is None
    return notices, hole


async def alert_of(store: Store) -> str | None:
    return await store.read(lambda asking: alerts.text_of(asking, "webhook"))


def event(kind: EventKind, agent: str | None = None, **data: Any) -> Event:
    return Event(7, 1.0, kind.value, agent, "x", data)


async def test_what_waited_before_anybody_wanted_to_be_told_is_no_news(desk: Desk) -> None:
    await desk.send("alice", "operator")

    _, hole = await begun(desk)

    assert hole.kept == []


async def test_a_message_to_the_operator_is_told_without_its_words(desk: Desk) -> None:
    notices, hole = await begun(desk)
    await desk.send("alice", "operator", "the secret of the hive")
    await desk.send("alice", "bob", "not for the operator")

    await notices.tell()

    assert hole.told == [["alice has written to you (message 1)."]]
    assert "secret" not in str(hole.kept)
    assert hole.kept[0]["url"] == "http://hive.test/#/messages"


async def test_what_was_told_is_not_told_again_by_the_next_server(desk: Desk) -> None:
    notices, hole = await begun(desk)
    await desk.send("alice", "operator")
    await notices.tell()
    await desk.send("bob", "operator")

    await notices_of(desk, hole).tell()

    assert hole.told == [
        ["alice has written to you (message 1)."],
        ["bob has written to you (message 2)."],
    ]


async def test_what_was_not_taken_is_told_later_and_meanwhile_there_is_an_alert(
    desk: Desk, clock: ManualClock
) -> None:
    notices, hole = await begun(desk)
    await desk.send("alice", "operator")
    hole.fault = "it is down."
    with pytest.raises(UnavailableError, match="down"):
        await notices.tell()
    await notices._note_failure("it is down.")
    assert await alert_of(desk.store) == "Notifications do not arrive: it is down."

    hole.fault = None
    clock.advance(61)
    await notices.tell()

    assert hole.told == [["alice has written to you (message 1)."]]
    assert await alert_of(desk.store) is None


async def test_what_comes_too_fast_goes_into_the_next_notification(
    desk: Desk, clock: ManualClock
) -> None:
    notices, hole = await begun(desk)
    for _ in range(2):
        await desk.send("alice", "operator")
        await notices.tell()
    await desk.send("alice", "operator")
    await desk.send("bob", "operator")
    clock.advance(20)

    assert await notices.tell() == pytest.approx(40.0)
    assert len(hole.kept) == 2
    clock.advance(40)
    assert await notices.tell() is None

    assert [len(each) for each in hole.told] == [1, 1, 2]


async def test_a_clock_that_was_set_back_keeps_nobody_uninformed(
    desk: Desk, clock: ManualClock
) -> None:
    notices, hole = await begun(desk)
    for _ in range(2):
        await desk.send("alice", "operator")
        await notices.tell()
    clock.advance(-86_400)
    await desk.send("alice", "operator")

    assert await notices.tell() is None
    assert len(hole.kept) == 3


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (
            event(EventKind.APPROVAL_ADDED, approval={"id": 3, "requester": "queen", "title": "x"}),
            "queen asks for your approval (number 3).",
        ),
        (
            event(
                EventKind.QUESTION_ADDED,
                question={"id": 4, "asker": "bob", "target": "operator", "question": "x"},
            ),
            "bob asks you a question (number 4).",
        ),
        (
            event(
                EventKind.QUESTION_ADDED,
                question={"id": 4, "asker": "bob", "target": "alice", "question": "x"},
            ),
            None,
        ),
        (
            event(EventKind.ALERT_RAISED, "bob", key="stalled:bob", severity="error", text="x"),
            "An error about bob stands on the page.",
        ),
        (event(EventKind.ALERT_RAISED, key="webhook", severity="warning", text="x"), None),
        (event(EventKind.TURN_STARTED, "bob", id=1), None),
    ],
)
def test_only_what_needs_the_operator_is_a_notice(told: Event, says: str | None) -> None:
    found = notice_of(told)

    assert (found.says if found else None) == says


def test_a_notification_names_some_things_and_counts_the_rest() -> None:
    raised = event(EventKind.ALERT_RAISED, key="disk", severity="warning", text="no room")
    notice = notice_of(raised)
    assert notice is not None

    told = notification("h", "http://x", [notice] * (LISTED_MAX + 3), with_text=True)

    assert (told["count"], len(told["notices"])) == (LISTED_MAX + 3, LISTED_MAX)
    assert "3 more things wait." in told["text"]
    assert told["notices"][0]["text"] == "no room"
