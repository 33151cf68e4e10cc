"""The life of approvals against a model: requests, decisions, withdrawals, time, work, crashes."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hyperhive.bus import Bus
from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    NotFoundError,
    QuotaError,
)
from hyperhive.store import Store, Writing, audit
from hyperhive.store import messages as rows
from hyperhive.store.transaction import Asking
from tests.builders import UNBOUND, Desk, ManualClock, a_hive, an_actor, wired
from tests.promises import promise

Result = TypeVar("Result")
AGENTS = ("queen", "alice", "bob")
LIMIT = 4


@dataclass(slots=True)
class Known:
    """What an approval must be, and what its requester must have heard of it."""

    requester: str
    until: float | None
    digest: str
    state: str = "pending"
    runs: int = 0
    heard: list[str] = field(default_factory=list)

    def end(self, state: str, *, is_told: bool = True) -> None:
        self.state = state
        if is_told:
            self.heard.append(state)


class Work:
    """An executor that counts, and stops where a crash would find it."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.stops = False
        self.came_to: Mapping[str, Any] | None = None

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        del asking, proposal

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        self.runs.append(approved.id)
        if self.stops:
            raise asyncio.CancelledError
        return {}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        del approved
        return self.came_to

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        del work, approved, state


class ApprovalLife(RuleBasedStateMachine):
    """A hive with approvals, and what should have come of them."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="approval-life-"))
        declared = {**UNBOUND["quotas"], "pendingApprovals": LIMIT}
        self.hive = a_hive(
            self.directory, self.directory / "run", AGENTS, hive={"quotas": declared}
        )
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.known: dict[int, Known] = {}
        self.crashed: list[Store] = []
        self.keys = 0
        self.work = Work()
        self.decided: list[tuple[str, int, str]] = []
        self.desk = self.run(self._opened())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        async def bounded() -> Result:
            async with asyncio.timeout(20):
                return await work

        return self.runner.run(bounded())

    async def _opened(self) -> Desk:
        desk = await wired(await Store.open(self.directory, Bus(), clock=self.clock), self.hive)
        desk.approvals.executors[ApprovalKind.ACTION] = self.work
        return desk

    def teardown(self) -> None:
        async def close() -> None:
            for store in (*self.crashed, self.desk.store):
                await store.close()

        self.run(close())
        self.runner.close()
        shutil.rmtree(self.directory)

    @rule(
        requester=st.sampled_from(AGENTS),
        ttl=st.sampled_from((None, 10.0, 100.0)),
        times=st.integers(1, 2),
    )
    def request(self, requester: str, ttl: float | None, times: int) -> None:
        self.keys += 1
        proposal = Proposal(ApprovalKind.ACTION, "Do it", payload={"n": self.keys}, ttl_seconds=ttl)
        pending = sum(
            known.requester == requester and known.state == "pending"
            for known in self.known.values()
        )
        for _ in range(times):
            try:
                asked = self.run(
                    self.desk.approvals.request(an_actor(requester), proposal, key=f"k{self.keys}")
                )
            except QuotaError:
                assert pending >= LIMIT
                return
            assert pending < LIMIT
            until = None if ttl is None else self.clock() + ttl
            self.known.setdefault(asked["id"], Known(requester, until, asked["digest"]))
        assert list(self.known)[-1] == asked["id"]

    @rule(
        pick=st.integers(0, 9),
        actor=st.sampled_from((*AGENTS, "operator", "operator", "operator")),
        fits=st.sampled_from((True, True, True, False)),
    )
    def approve(self, pick: int, actor: str, fits: bool) -> None:
        if (number := self._picked(pick)) is None:
            return
        known = self.known[number]
        digest = known.digest if fits else "0" * 64
        refused: type[HiveError] | None = None
        try:
            self.run(self.desk.approvals.approve(an_actor(actor), number, digest, via="test"))
        except HiveError as error:
            refused = type(error)
        if actor != "operator":
            assert refused is ForbiddenError
        elif not fits or known.state in {"denied", "cancelled"} or self._is_over(known):
            assert refused is ConflictError
        else:
            assert refused is None
            if known.state == "pending":
                known.state = "approved"
                self.decided.append(("approve", number, known.digest))

    @rule(pick=st.integers(0, 9), actor=st.sampled_from((*AGENTS, "operator", "operator")))
    def deny(self, pick: int, actor: str) -> None:
        if (number := self._picked(pick)) is None:
            return
        known = self.known[number]
        refused: type[HiveError] | None = None
        try:
            self.run(self.desk.approvals.deny(an_actor(actor), number, "no", via="test"))
        except HiveError as error:
            refused = type(error)
        if actor != "operator":
            assert refused is ForbiddenError
        elif known.state not in {"pending", "denied"} or self._is_over(known):
            assert refused is ConflictError
        else:
            assert refused is None
            if known.state == "pending":
                known.end("denied")
                self.decided.append(("deny", number, known.digest))

    @rule(pick=st.integers(0, 9), actor=st.sampled_from((*AGENTS, "operator")))
    def cancel(self, pick: int, actor: str) -> None:
        if (number := self._picked(pick)) is None:
            return
        known = self.known[number]
        may = actor in (known.requester, "queen", "operator")
        try:
            self.run(self.desk.threads.cancel(an_actor(actor), "approval", number, via="test"))
        except (ForbiddenError, NotFoundError):
            assert not may
        except ConflictError:
            assert known.state not in {"pending", "cancelled"} or self._is_over(known)
        else:
            assert may
            assert known.state in {"pending", "cancelled"}
            if known.state == "pending":
                known.end("cancelled", is_told=actor != known.requester)

    @rule(seconds=st.sampled_from((1, 10, 100, -50)))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.run(self.desk.approvals.expire())
        for known in self.known.values():
            if self._is_over(known):
                known.end("cancelled")

    @rule()
    def carry_out_what_is_approved(self) -> None:
        for approved in self.run(self.desk.carrying.approved()):
            self.run(self.desk.carrying.carry(approved.id))
        for known in self.known.values():
            if known.state == "approved":
                known.runs += 1
                known.end("done")

    @rule(came_to_its_end=st.booleans(), runs=st.booleans())
    def crash(self, came_to_its_end: bool, runs: bool) -> None:
        waiting = [number for number, known in self.known.items() if known.state == "approved"]
        if runs and waiting:
            self.work.stops = True
            try:
                self.run(self._cut_short(waiting[0]))
            finally:
                self.work.stops = False
            self.known[waiting[0]].runs += 1
        # The process is gone; what it left unclosed is closed when the test ends.
        self.crashed.append(self.desk.store)
        self.desk = self.run(self._opened())
        self.work.came_to = {} if came_to_its_end else None
        self.run(self.desk.carrying.settle())
        if runs and waiting:
            self.known[waiting[0]].end("done" if came_to_its_end else "failed")

    async def _cut_short(self, number: int) -> None:
        await asyncio.gather(
            asyncio.create_task(self.desk.carrying.carry(number)), return_exceptions=True
        )

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        states, heard, decided = self.run(self._everything())
        assert states == {number: known.state for number, known in self.known.items()}
        assert heard == {n: known.heard for n, known in self.known.items() if known.heard}
        assert decided == self.decided
        for number, known in self.known.items():
            assert self.work.runs.count(number) == known.runs <= 1

    async def _everything(
        self,
    ) -> tuple[dict[int, str], dict[int, list[str]], list[tuple[str, int, str]]]:
        shown = {number: await self.desk.approvals.show(number) for number in self.known}
        sent = await self.desk.store.read(
            lambda asking: rows.search(asking, before=None, limit=10_000)
        )
        heard: dict[int, list[str]] = {}
        for row in reversed(sent):
            event, facts = row.body.split(" ", 1)
            told = json.loads(facts)
            if event == "approval_resolved":
                assert row.recipient == self.known[told["id"]].requester
                heard.setdefault(told["id"], []).append(told["status"])
        log = await self.desk.store.read(
            lambda asking: audit.search(asking, before=None, limit=999)
        )
        decided = [
            (each["verb"], int(each["subject"].removeprefix("approval:")), each["digest"])
            for each in reversed(log)
            if each["verb"] in {"approve", "deny"}
        ]
        return {number: each["state"] for number, each in shown.items()}, heard, decided

    def _is_over(self, known: Known) -> bool:
        is_late = known.until is not None and known.until <= self.clock()
        return known.state == "pending" and is_late

    def _picked(self, pick: int) -> int | None:
        numbers = list(self.known)
        return numbers[-1 - pick % len(numbers)] if numbers else None


@promise("A2", "A3", "A8")
def test_no_order_of_events_decides_twice_runs_twice_or_leaves_anybody_untold() -> None:
    run_state_machine_as_test(
        ApprovalLife,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
