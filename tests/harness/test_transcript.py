import json
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.turns import TurnEventKind
from hyperhive.harness.cutting import TEXT_BYTES_MAX, cut_texts
from hyperhive.harness.transcript import BUFFER_EVENTS_MAX, Transcript

pytestmark = pytest.mark.anyio


async def all_of(transcript: Transcript) -> list[list[dict[str, Any]]]:
    transcript.close()
    batches = []
    while (batch := await transcript.batch()) is not None:
        batches.append(batch)
        transcript.sent()
    return batches


async def test_events_come_out_in_order_with_numbers_from_nought() -> None:
    transcript = Transcript(clock=lambda: 5.0)
    transcript.add(TurnEventKind.TEXT, {"text": "a"})
    transcript.add(TurnEventKind.NOTE, {"text": "b"})
    assert await all_of(transcript) == [
        [
            {"n": 0, "at": 5.0, "kind": "text", "data": {"text": "a"}},
            {"n": 1, "at": 5.0, "kind": "note", "data": {"text": "b"}},
        ]
    ]


async def test_a_batch_stays_the_same_until_it_is_sent() -> None:
    transcript = Transcript()
    transcript.add(TurnEventKind.TEXT, {"text": "a"})
    first = await transcript.batch()
    transcript.add(TurnEventKind.TEXT, {"text": "b"})
    assert await transcript.batch() == first


async def test_a_batch_is_what_one_request_may_hold() -> None:
    transcript = Transcript()
    for _ in range(100):
        transcript.add(TurnEventKind.TEXT, {"text": "x" * TEXT_BYTES_MAX})
    for number in range(100):
        transcript.add(TurnEventKind.TEXT, {"text": str(number)})
    batches = await all_of(transcript)
    assert max(map(len, batches)) == 64
    assert max(len(json.dumps(batch)) for batch in batches) < 256 * 1024
    assert sum(map(len, batches)) == 200


async def test_past_the_limit_the_oldest_go_and_a_note_says_how_many() -> None:
    transcript = Transcript()
    for number in range(BUFFER_EVENTS_MAX + 10):
        transcript.add(TurnEventKind.TEXT, {"text": str(number)})
    events = [event for batch in await all_of(transcript) for event in batch]
    assert events[0]["kind"] == "note"
    assert events[0]["data"]["dropped"] == 10
    assert events[1]["data"]["text"] == "10"
    assert [event["n"] for event in events] == list(range(BUFFER_EVENTS_MAX + 1))


async def test_an_event_of_many_texts_is_kept_small() -> None:
    transcript = Transcript()
    transcript.add(TurnEventKind.TOOL_RESULT, {"result": ["x" * 10_000] * 1000})
    ((event,),) = await all_of(transcript)
    assert event["data"]["cut"] is True
    assert len(json.dumps(event)) < 20_000


def test_a_long_text_is_cut_at_a_character_and_marked() -> None:
    cut = cut_texts({"text": "a" + "ä" * TEXT_BYTES_MAX, "list": [{"deep": "short"}]})
    assert len(cut["text"].encode()) == TEXT_BYTES_MAX - 1
    assert cut["cut"] is True
    assert cut["list"] == [{"deep": "short"}]


def test_what_json_cannot_hold_becomes_text() -> None:
    odd = {"half": "a\ud800", "path": Path("/x"), "set": {1}, 5: "five"}
    plain = cut_texts({"odd": odd})
    assert plain == {"odd": {"half": "a?", "path": "PosixPath('/x')", "set": "{1}", "5": "five"}}


def test_what_is_nested_without_end_is_left_out() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    assert cut_texts({"deep": deep})["cut"] is True


def test_a_text_of_the_very_limit_is_left_alone() -> None:
    assert cut_texts({"text": "x" * TEXT_BYTES_MAX}) == {"text": "x" * TEXT_BYTES_MAX}
