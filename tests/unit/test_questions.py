"""Questions: who may ask and answer, what the asker hears, and what happens when time is over."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
    QuotaUsedError,
    TooLargeError,
)
from hyperhive.services.upkeep import Upkeep
from hyperhive.store import audit, events, questions
from tests.builders import UNBOUND, Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


async def ask(desk: Desk, asker: str = "alice", **given: Any) -> int:
    question = given.pop("question", "Which colour?")
    return int((await desk.questions.ask(an_actor(asker), question, **given))["id"])


async def answer(desk: Desk, actor: str, number: int, text: str | list[str] = "blue") -> Any:
    return await desk.questions.answer(an_actor(actor), number, text, via="test")


async def told(desk: Desk, agent: str) -> list[tuple[str, dict[str, Any]]]:
    """Give what an agent was told of questions: the event and its facts, after the words."""
    got = [message for message in await desk.recv(agent, count=32) if message["from"] == "system"]
    lines = [message["body"].split("\n") for message in got]
    assert all(len(each) == 2 and each[0].endswith(".") for each in lines)
    parts = [each[1].split(" ", 1) for each in lines]
    return [(event, json.loads(facts)) for event, facts in parts]


@promise("Q2")
async def test_a_question_to_the_operator_is_answered_into_the_askers_inbox(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, options=["red", "blue"])
        (waiting,) = (await desk.questions.listing("operator"))["questions"]
        assert (waiting["state"], waiting["options"]) == ("open", ["red", "blue"])

        done = await answer(desk, "operator", number, "a free text")

        assert (done["state"], done["late"], done["seq"]) == (
            "answered",
            False,
            desk.store.bus.seq,
        )
        facts = {
            "id": number,
            "question": "Which colour?",
            "answer": "a free text",
            "answerer": "operator",
            "late": False,
        }
        assert await told(desk, "alice") == [("question_answered", facts)]
        (entry,) = await desk.store.read(lambda a: audit.search(a, before=None, limit=9))
        assert (entry["verb"], entry["subject"]) == ("answer", f"question:{number}")


@promise("Q3")
async def test_a_question_to_an_agent_reaches_it_and_not_the_operator(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, to="bob", options=["red", "blue"], multi=True)

        ((event, facts),) = await told(desk, "bob")
        assert (event, facts["id"], facts["asker"]) == ("question_asked", number, "alice")
        assert (await desk.questions.listing("operator"))["questions"] == []
        for agent in ("alice", "bob"):
            (listed,) = (await desk.questions.listing(agent))["questions"]
            assert listed["id"] == number
        await answer(desk, "bob", number, ["red", "blue"])
        ((_, heard),) = await told(desk, "alice")
        assert (heard["answer"], heard["answerer"]) == (["red", "blue"], "bob")


@promise("Q3")
async def test_the_operator_answers_in_anothers_stead_and_both_ends_hear_of_it(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, to="bob")
        await answer(desk, "operator", number)

        ((_, heard),) = await told(desk, "alice")
        assert heard["answerer"] == "operator"
        assert [event for event, _ in await told(desk, "bob")] == [
            "question_asked",
            "question_settled",
        ]
        with pytest.raises(ConflictError, match="already answered by operator"):
            await answer(desk, "bob", number)


@promise("Q4")
@pytest.mark.parametrize(
    ("actor", "refusal"), [("queen", ForbiddenError), ("alice", ForbiddenError)]
)
async def test_only_the_target_and_the_operator_answer(
    tmp_path: Path, actor: str, refusal: type[HiveError]
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, to="bob")
        before = desk.store.bus.seq

        with pytest.raises(refusal, match=f"Question {number} is for bob"):
            await answer(desk, actor, number)

        assert desk.store.bus.seq == before


@promise("Q4")
async def test_anothers_question_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    async with a_desk(tmp_path, names=("queen", "alice", "bob", "carol")) as desk:
        number = await ask(desk, to="bob")

        for each in (number, 99):
            with pytest.raises(NotFoundError, match="no question of yours"):
                await answer(desk, "carol", each)
            with pytest.raises(NotFoundError, match="no question of yours"):
                await desk.questions.cancel(an_actor("carol"), each, via="test")
        with pytest.raises(NotFoundError, match="no question of yours"):
            await answer(desk, "carol", await ask(desk))


@promise("Q4")
async def test_of_two_answers_at_once_the_first_counts_and_the_second_learns_whose(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, to="bob")
        both = await asyncio.gather(
            answer(desk, "bob", number, "red"),
            answer(desk, "operator", number, "blue"),
            return_exceptions=True,
        )

        (refused,) = [each for each in both if isinstance(each, Exception)]
        assert isinstance(refused, ConflictError)
        ((_, heard),) = await told(desk, "alice")
        assert f"answered by {heard['answerer']}" in str(refused)


@promise("Q4")
async def test_the_same_answer_twice_is_one(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk)
        first = await answer(desk, "operator", number)
        again = await answer(desk, "operator", number)

        assert (again["state"], again["seq"]) == (first["state"], first["seq"])
        assert len(await told(desk, "alice")) == 1


@promise("Q5")
async def test_an_expiry_is_told_by_the_watchdog_also_over_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await ask(desk, ttl_seconds=60)
        never = await ask(desk)
        clock.advance(59)
        assert await desk.questions.expire_due() == 0
    clock.advance(3600)
    async with a_desk(tmp_path, clock=clock) as desk:
        assert await desk.questions.expire_due() == 1
        assert await desk.questions.expire_due() == 0

        ((_, heard),) = await told(desk, "alice")
        assert (heard["id"], heard["answer"], heard["answerer"]) == (
            number,
            "[expired]",
            "ttl-watchdog",
        )
        assert (await desk.questions.show(never))["state"] == "open"


@promise("Q5")
@pytest.mark.parametrize("swept", [True, False])
async def test_a_late_answer_arrives_and_says_that_it_is_late(tmp_path: Path, swept: bool) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        number = await ask(desk, to="bob", ttl_seconds=60)
        clock.advance(60)
        if swept:
            await desk.questions.expire_due()

        done = await answer(desk, "bob", number)

        assert done["late"]
        heard = [facts for _, facts in await told(desk, "alice")]
        assert [(each["answer"], each["late"]) for each in heard] == [
            ("[expired]", False),
            ("blue", True),
        ]
        assert (await desk.questions.show(number))["state"] == "answered"


@promise("Q5")
async def test_the_loop_wakes_for_a_question_that_was_asked_while_it_slept(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        loop = asyncio.create_task(desk.questions.run())
        try:
            with desk.store.bus.watch("inbox:alice") as watch:
                number = await ask(desk, ttl_seconds=1)
                assert isinstance(desk.clock, ManualClock)
                desk.clock.advance(1)
                assert await watch.wait(20)
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

        assert (await desk.questions.show(number))["state"] == "expired"


async def test_many_that_expire_at_once_are_closed_in_steps_and_none_is_left(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    many = {"quotas": {"openQuestions": 1000, "messagesPerMinute": 1000}}
    async with a_desk(tmp_path, clock=clock, hive=many) as desk:
        for _ in range(250):
            await ask(desk, ttl_seconds=1)
        clock.advance(2)

        steps = [await desk.questions.expire_due() for _ in range(4)]

        assert steps == [100, 100, 50, 0]


@promise("Q5")
async def test_one_that_cannot_be_closed_holds_up_no_other_and_is_not_passed_over_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        one, two, three = [await ask(desk, ttl_seconds=1) for _ in range(3)]
        clock.advance(2)
        close = questions.close

        def fail(work: Any, row: Any, *rest: Any) -> Any:
            if row.id == two:
                raise ValueError("a damaged row")
            return close(work, row, *rest)

        monkeypatch.setattr(questions, "close", fail)

        assert await desk.questions.expire_due() == 2
        with pytest.raises(ValueError, match="a damaged row"):
            await desk.questions.expire_due()

        states = [(await desk.questions.show(each))["state"] for each in (one, two, three)]
        assert states == ["expired", "open", "expired"]


@promise("Q6")
async def test_a_thousand_asks_in_a_burst_leave_25_open_and_each_refusal_says_why(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        asks = (ask(desk, question=f"question {n}?", ttl_seconds=90) for n in range(1000))
        done = await asyncio.gather(*asks, return_exceptions=True)

        refused = [each for each in done if isinstance(each, QuotaUsedError)]
        assert len(refused) == 975
        assert "open_questions is used up: 25 of 25" in str(refused[0])
        assert refused[0].frees_in_seconds == pytest.approx(90)
        assert (await desk.quotas.of("alice"))["open_questions"] == {
            "limit": 25,
            "used": 25,
            "left": 0,
        }
        await answer(desk, "operator", await _any_open(desk))
        await ask(desk)


async def _any_open(desk: Desk) -> int:
    found = (await desk.questions.listing(None))["questions"]
    return int(next(each["id"] for each in found if each["state"] == "open"))


@pytest.mark.parametrize(
    ("given", "refusal", "says"),
    [
        ({"to": "alice"}, InvalidError, "cannot ask yourself"),
        ({"to": "manager", "asker": "queen"}, InvalidError, "cannot ask yourself"),
        ({"to": "*"}, InvalidError, "goes to one"),
        ({"to": "nobody"}, NotFoundError, "Known: .*bob.*operator"),
        ({"to": "bob"}, ForbiddenError, "mayMessage allows operator, queen"),
        ({"question": " "}, InvalidError, "is empty"),
        ({"question": "x" * 9000}, TooLargeError, "limit is 8192"),
        ({"question": "\ud800"}, InvalidError, "surrogates"),
        ({"options": ["a", "a"]}, InvalidError, "the same"),
        ({"options": [str(n) for n in range(21)]}, InvalidError, "at most 20"),
        ({"options": ["x" * 201]}, InvalidError, "at most 200"),
        ({"multi": True}, InvalidError, "needs options"),
        ({"ttl_seconds": 0}, InvalidError, "ttl_seconds is 0"),
        ({"ttl_seconds": float("nan")}, InvalidError, "ttl_seconds is nan"),
        ({"ttl_seconds": float("inf")}, InvalidError, "ttl_seconds is inf"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_refused_and_stores_nothing(
    tmp_path: Path, given: dict[str, Any], refusal: type[HiveError], says: str
) -> None:
    async with a_desk(tmp_path, alice={"mayMessage": ["queen", "operator"]}) as desk:
        before = desk.store.bus.seq

        with pytest.raises(refusal, match=says):
            await ask(desk, **given)

        assert desk.store.bus.seq == before


@pytest.mark.parametrize(("given", "multi"), [("", False), ([], True), (["a", "b"], False)])
async def test_an_answer_that_does_not_fit_its_question_is_refused(
    tmp_path: Path,
    given: str | list[str],
    multi: bool,
) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, options=["a", "b"], multi=multi)

        with pytest.raises(InvalidError):
            await answer(desk, "operator", number, given)

        assert (await desk.questions.show(number))["state"] == "open"


async def test_a_question_repeated_with_its_key_is_asked_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first = await desk.questions.ask(an_actor("alice"), "Why?", key="k", to="bob")
    async with a_desk(tmp_path) as desk:
        again = await desk.questions.ask(an_actor("alice"), "Why?", key="k", to="bob")

        assert again == first
        assert len(await told(desk, "bob")) == 1
        with pytest.raises(ConflictError, match="different request"):
            await desk.questions.ask(an_actor("alice"), "Why not?", key="k", to="bob")


@promise("Q7")
async def test_a_question_is_withdrawn_by_its_asker_the_manager_or_the_operator(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        for actor, hear in (("alice", {"bob"}), ("queen", {"alice", "bob"})):
            number = await ask(desk, to="bob")
            done = await desk.threads.cancel(an_actor(actor), "question", number, via="test")
            assert (done["state"], done["seq"]) == ("cancelled", desk.store.bus.seq)
            for agent in ("alice", "bob"):
                said = [event for event, _ in await told(desk, agent)]
                assert ("question_cancelled" in said) == (agent in hear)
        number = await ask(desk, to="bob")
        with pytest.raises(ForbiddenError, match="Only its asker"):
            await desk.questions.cancel(an_actor("bob"), number, via="test")
        await desk.questions.cancel(an_actor("operator"), number, via="test")
        with pytest.raises(ConflictError, match="was cancelled"):
            await answer(desk, "bob", number)


@promise("Q7")
async def test_an_agent_sees_what_hangs_on_it_and_the_manager_what_hangs_in_the_hive(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, names=("queen", "alice", "bob", "carol")) as desk:
        number = await ask(desk, to="bob")
        to_operator = await ask(desk, "carol")
        sent = await desk.send("bob", "carol", "are you there?")

        seen = {
            name: [
                (each["kind"], each["id"], each["with"])
                for each in (await desk.threads.seen_by(an_actor(name)))["threads"]
            ]
            for name in ("alice", "bob", "carol")
        }
        assert seen == {
            "alice": [("question", number, "bob")],
            "bob": [("message", sent, "carol"), ("question", number, "alice")],
            "carol": [("question", to_operator, "operator")],
        }
        hive = await desk.threads.seen_by(an_actor("queen"))
        kinds = [each["kind"] for each in hive["threads"]]
        assert (sorted(kinds), hive["more"]) == (["message", "question", "question"], [])
        await desk.recv("carol", count=32)
        await answer(desk, "bob", number)
        assert (await desk.threads.seen_by(an_actor("bob")))["threads"] == []
        assert (await desk.threads.seen_by(an_actor("alice")))["threads"] == []


async def test_a_list_of_threads_is_bounded_and_says_that_there_are_more(tmp_path: Path) -> None:
    async with a_desk(tmp_path, hive=UNBOUND) as desk:
        for _ in range(101):
            await desk.send("alice", "bob")

        found = await desk.threads.of("alice")

        assert (len(found["threads"]), found["more"]) == (100, ["message"])
        with pytest.raises(InvalidError, match="Known: approval, message, question, reminder"):
            await desk.threads.cancel(an_actor("alice"), "dream", 1, via="test")
        with pytest.raises(NotFoundError, match="message of yours"):
            await desk.threads.cancel(an_actor("bob"), "message", 1, via="test")
        with pytest.raises(NotFoundError, match="no agent 'nobody'"):
            await desk.threads.of("nobody")


async def test_an_event_of_a_question_carries_the_whole_of_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        number = await ask(desk, to="bob")
        await answer(desk, "bob", number)

        found = await desk.store.read(lambda asking: events.after(asking, 0, 99))
        last = [event for event in found if event.kind.startswith("question_")][-1]
        assert (last.kind, last.agent, last.actor) == ("question_answered", "bob", "bob")
        assert last.data["question"] == await desk.questions.show(number)


async def test_closed_questions_leave_after_their_time_and_open_ones_stay(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        closed, still = await ask(desk), await ask(desk)
        await answer(desk, "operator", closed)
        clock.advance(31 * 24 * 3600)
        await Upkeep(desk.store, desk.messages).retain(desk.hive)

        assert [each["id"] for each in (await desk.questions.listing(None))["questions"]] == [still]
