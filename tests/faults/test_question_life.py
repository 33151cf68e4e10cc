"""The life of questions against a model: asks, answers, cancellations, time, and crashes."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hyperhive.bus import Bus
from hyperhive.domain.errors import ConflictError, ForbiddenError, HiveError, NotFoundError
from hyperhive.store import Store
from hyperhive.store import messages as rows
from tests.builders import UNBOUND, ManualClock, a_hive, an_actor, wired
from tests.promises import promise

Result = TypeVar("Result")
AGENTS = ("queen", "alice", "bob")
LIMIT = 4
HEARD = ("question_answered", "question_cancelled")


@dataclass(slots=True)
class Known:
    """What a question must be, and what its asker must have heard of it."""

    asker: str
    target: str
    until: float | None
    state: str = "open"
    answer: str | None = None
    answerer: str | None = None
    late: bool = False
    heard: list[tuple[str, str]] = field(default_factory=list)

    def expire(self) -> None:
        self.state = "expired"
        self.heard.append(("question_answered", "ttl-watchdog"))


class QuestionLife(RuleBasedStateMachine):
    """A hive with questions, and what should have come of them."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="question-life-"))
        declared = {**UNBOUND["quotas"], "openQuestions": LIMIT}
        self.hive = a_hive(
            self.directory, self.directory / "run", AGENTS, hive={"quotas": declared}
        )
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.known: dict[int, Known] = {}
        self.crashed: list[Store] = []
        self.keys = 0
        self.desk = self.run(self._opened())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        async def bounded() -> Result:
            async with asyncio.timeout(20):
                return await work

        return self.runner.run(bounded())

    async def _opened(self) -> Any:
        return await wired(await Store.open(self.directory, Bus(), clock=self.clock), self.hive)

    def teardown(self) -> None:
        async def close() -> None:
            for store in (*self.crashed, self.desk.store):
                await store.close()

        self.run(close())
        self.runner.close()
        shutil.rmtree(self.directory)

    @rule(
        asker=st.sampled_from(AGENTS),
        to=st.sampled_from((*AGENTS, "operator")),
        ttl=st.sampled_from((None, 10.0, 100.0)),
        times=st.integers(1, 2),
    )
    def ask(self, asker: str, to: str, ttl: float | None, times: int) -> None:
        self.keys += 1
        is_full = sum(k.asker == asker and k.state == "open" for k in self.known.values()) >= LIMIT
        for _ in range(times):
            try:
                asked = self.run(
                    self.desk.questions.ask(
                        an_actor(asker), "Which?", to=to, ttl_seconds=ttl, key=f"k{self.keys}"
                    )
                )
            except HiveError as error:
                expected = "invalid" if asker == to else "quota"
                assert error.code == expected  # noqa: PT017 - the model says which refusal it is
                assert asker == to or is_full
                return
            assert asker != to
            assert not is_full
            until = None if ttl is None else self.clock() + ttl
            self.known.setdefault(asked["id"], Known(asker, to, until))
        assert list(self.known)[-1] == asked["id"]

    @rule(
        pick=st.integers(0, 9),
        actor=st.sampled_from((*AGENTS, "operator")),
        text=st.sampled_from(("red", "blue")),
    )
    def answer(self, pick: int, actor: str, text: str) -> None:
        number = self._picked(pick)
        if number is None:
            return
        known = self.known[number]
        refused: type[HiveError] | None = None
        try:
            done = self.run(self.desk.questions.answer(an_actor(actor), number, text, via="test"))
        except HiveError as error:
            refused = type(error)
        if actor not in (known.target, "operator"):
            knows = actor in (known.asker, "queen")
            assert refused is (ForbiddenError if knows else NotFoundError)
            return
        if known.state == "open" and known.until is not None and known.until <= self.clock():
            known.expire()
        if known.state == "cancelled" or (
            known.state == "answered" and (known.answerer, known.answer) != (actor, text)
        ):
            assert refused is ConflictError
            return
        assert refused is None
        if known.state != "answered":
            known.late = known.state == "expired"
            known.state, known.answer, known.answerer = "answered", text, actor
            known.heard.append(("question_answered", actor))
        assert done["late"] == known.late

    @rule(pick=st.integers(0, 9), actor=st.sampled_from((*AGENTS, "operator")))
    def cancel(self, pick: int, actor: str) -> None:
        number = self._picked(pick)
        if number is None:
            return
        known = self.known[number]
        try:
            self.run(self.desk.threads.cancel(an_actor(actor), "question", number, via="test"))
        except (ForbiddenError, NotFoundError):
            assert actor not in (known.asker, "queen", "operator")
        except ConflictError:
            assert known.state in {"answered", "expired"}
        else:
            assert actor in (known.asker, "queen", "operator")
            assert known.state in {"open", "cancelled"}
            if known.state == "open" and actor != known.asker:
                known.heard.append(("question_cancelled", actor))
            known.state = "cancelled"

    @rule(seconds=st.sampled_from((1, 10, 100, -50)))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.run(self.desk.questions.expire_due())
        for known in self.known.values():
            is_over = known.until is not None and known.until <= self.clock()
            if known.state == "open" and is_over:
                known.expire()

    @rule()
    def crash(self) -> None:
        # The process is gone; what it left unclosed is closed when the test ends.
        self.crashed.append(self.desk.store)
        self.desk = self.run(self._opened())

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        found = self.run(self._everything())
        shown, heard = found
        wanted = {
            number: (k.state, k.answer, k.answerer, k.late) for number, k in self.known.items()
        }
        assert shown == wanted
        assert heard == {number: k.heard for number, k in self.known.items() if k.heard}

    async def _everything(self) -> tuple[dict[int, Any], dict[int, list[tuple[str, str]]]]:
        shown = {number: await self.desk.questions.show(number) for number in self.known}
        states = {
            number: (each["state"], each["answer"], each["answerer"], each["late"])
            for number, each in shown.items()
        }
        sent = await self.desk.store.read(
            lambda asking: rows.search(asking, before=None, limit=10_000)
        )
        heard: dict[int, list[tuple[str, str]]] = {}
        for row in reversed(sent):
            event, facts = row.body.split("\n")[1].split(" ", 1)
            told = json.loads(facts)
            if event in HEARD and row.recipient == self.known[told["id"]].asker:
                by = told["answerer"] if event == "question_answered" else told["by"]
                heard.setdefault(told["id"], []).append((event, by))
        return states, heard

    def _picked(self, pick: int) -> int | None:
        numbers = list(self.known)
        return numbers[-1 - pick % len(numbers)] if numbers else None


@promise("Q8")
def test_no_order_of_events_loses_doubles_or_changes_an_answer() -> None:
    run_state_machine_as_test(
        QuestionLife,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
