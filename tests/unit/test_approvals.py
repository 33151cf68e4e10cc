"""Approvals: asked for, decided once, carried out once, and told."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.approvals import (
    SHOWN_BYTES_MAX,
    ApprovalKind,
    ApprovalState,
    Approved,
    Proposal,
    digest_of,
    shown_text,
)
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    QuotaError,
    TooLargeError,
    UnavailableError,
)
from hyperhive.services.carrying import INTERRUPTED, UNEXPECTED
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import Writing, audit
from hyperhive.store import approvals as rows
from hyperhive.store.store import restore_offline
from hyperhive.store.transaction import Asking
from tests.builders import Desk, ManualClock, a_desk, a_store, an_actor, wired
from tests.promises import promise

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30.0
PENDING_MAX = 25


def an_action(**settings: Any) -> Proposal:
    """Ask for something that an agent does itself."""
    given = {"title": "Delete the old branch", "payload": {"branch": "old"}, **settings}
    return Proposal(ApprovalKind.ACTION, **given)


class Recorder:
    """An executor that notes what it was told, and does as a test says."""

    def __init__(self) -> None:
        self.ran: list[Approved] = []
        self.ended: list[ApprovalState] = []
        self.refusal: Exception | None = None
        self.error: Exception | None = None
        self.came_to: Mapping[str, Any] | None = None
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        del asking, proposal
        if self.refusal is not None:
            raise self.refusal

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        self.ran.append(approved)
        self.began.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {"did": approved.payload}

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        del approved
        return self.came_to

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        del work, approved
        self.ended.append(state)


async def asked(desk: Desk, proposal: Proposal | None = None, by: str = "alice") -> dict[str, Any]:
    return await desk.approvals.request(an_actor(by), proposal or an_action())


async def approve(desk: Desk, request: Mapping[str, Any]) -> dict[str, Any]:
    return await desk.approvals.approve(
        THE_OPERATOR, request["id"], str(request["digest"]), via="test"
    )


async def state_of(desk: Desk, request: Mapping[str, Any]) -> str:
    return str((await desk.approvals.show(request["id"]))["state"])


async def told(desk: Desk, agent: str = "alice") -> list[dict[str, Any]]:
    """Give what an agent was told of its requests."""
    bodies = [message["body"] for message in await desk.recv(agent, count=32)]
    return [json.loads(body.removeprefix("approval_resolved ")) for body in bodies]


async def carried(desk: Desk, *requests: Mapping[str, Any]) -> None:
    """Let the server work until these are over."""
    async with asyncio.timeout(BOUND_SECONDS):
        with desk.store.bus.watch() as watch:
            task = asyncio.create_task(desk.carrying.run())
            while not all([await is_over(desk, request) for request in requests]):
                await watch.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def is_over(desk: Desk, request: Mapping[str, Any]) -> bool:
    return (await desk.approvals.show(request["id"]))["closed_at"] is not None


@promise("A1")
async def test_what_is_approved_is_what_was_shown(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)
        shown = (await desk.approvals.show(request["id"]))["shown"]
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert digest_of(text) == request["digest"]

        await approve(desk, request)
        await carried(desk, request)

        (ran,) = recorder.ran
        assert (ran.id, ran.requester, ran.digest) == (request["id"], "alice", request["digest"])
        assert ran.payload == shown["payload"]
        assert (await desk.approvals.show(request["id"]))["result"] == {"did": {"branch": "old"}}


@promise("A1")
async def test_a_yes_to_something_else_runs_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        other = await asked(desk, an_action(payload={"branch": "main"}))

        with pytest.raises(ConflictError, match="Show it again"):
            await desk.approvals.approve(THE_OPERATOR, request["id"], other["digest"], via="test")

        assert await state_of(desk, request) == "pending"
        assert await desk.carrying.approved() == []


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Delete the old branch."},
        {"details": "now"},
        {"payload": {"branch": "Old"}},
        {"agent": "bob"},
        {"kind": ApprovalKind.SPAWN},
    ],
)
def test_any_difference_in_what_is_shown_is_one_in_the_digest(change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"kind": ApprovalKind.ACTION, "title": "Delete the old branch"}
    given["payload"] = {"branch": "old"}
    first = Proposal(**given)

    assert digest_of(shown_text("alice", first)) == digest_of(shown_text("alice", first))
    assert shown_text("bob", first) != shown_text("alice", first)
    assert shown_text("alice", Proposal(**{**given, **change})) != shown_text("alice", first)


@pytest.mark.parametrize(
    ("proposal", "error"),
    [
        (an_action(title=""), InvalidError),
        (an_action(title="two\nlines"), InvalidError),
        (an_action(title="hidden \u202e text"), InvalidError),
        (an_action(title="x" * 201), InvalidError),
        (an_action(payload={"n": float("nan")}), InvalidError),
        (an_action(payload={"s": {1}}), InvalidError),
        (an_action(details="\ud800"), InvalidError),
        (an_action(ttl_seconds=0), InvalidError),
        (an_action(ttl_seconds=float("nan")), InvalidError),
        (an_action(details="x" * SHOWN_BYTES_MAX), TooLargeError),
    ],
)
async def test_what_cannot_be_shown_whole_is_refused(
    tmp_path: Path, proposal: Proposal, error: type[Exception]
) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(error):
            await asked(desk, proposal)


@promise("A2")
async def test_a_double_click_is_one_decision_and_runs_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)

        first, second = await asyncio.gather(approve(desk, request), approve(desk, request))
        await carried(desk, request)
        third = await approve(desk, request)

        assert (first["state"], second["state"], third["state"]) == ("approved", "approved", "done")
        assert len(recorder.ran) == 1
        log = await desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))
        assert [entry["verb"] for entry in log] == ["approve"]


@promise("A2")
async def test_of_two_operators_at_once_one_decides(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        for first in (True, False):
            request = await asked(desk)
            yes = approve(desk, request)
            no = desk.approvals.deny(THE_OPERATOR, request["id"], "no", via="test")

            both = await asyncio.gather(
                *((yes, no) if first else (no, yes)), return_exceptions=True
            )

            refused = [each for each in both if isinstance(each, ConflictError)]
            assert len(refused) == 1
            assert "no longer open" in str(refused[0])
            assert await state_of(desk, request) == ("approved" if first else "denied")
        await carried(desk, {"id": 1})
        assert [ran.id for ran in recorder.ran] == [1]


@promise("A3")
async def test_a_denial_tells_its_note_to_whoever_asked(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)

        denied = await desk.approvals.deny(
            THE_OPERATOR, request["id"], " not on a Friday ", via="test"
        )

        assert denied["state"] == "denied"
        assert await told(desk) == [
            {
                "id": request["id"],
                "kind": "action",
                "status": "denied",
                "note": "not on a Friday",
                "title": "Delete the old branch",
            }
        ]
        again = await desk.approvals.deny(THE_OPERATOR, request["id"], "other", via="test")
        assert again["note"] == "not on a Friday"
        assert await told(desk) == []
        with pytest.raises(ConflictError, match="denied by operator"):
            await approve(desk, request)


@promise("A3")
async def test_every_decision_is_in_the_audit_log_with_its_digest(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        yes, no, gone = await asked(desk), await asked(desk), await asked(desk)
        await approve(desk, yes)
        await desk.approvals.deny(THE_OPERATOR, no["id"], "no", via="http")
        await desk.approvals.cancel(THE_OPERATOR, gone["id"], via="http")

        log = await desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))

        assert [(each["verb"], each["subject"], each["via"]) for each in reversed(log)] == [
            ("approve", f"approval:{yes['id']}", "test"),
            ("deny", f"approval:{no['id']}", "http"),
            ("cancel_approval", f"approval:{gone['id']}", "http"),
        ]
        assert {each["digest"] for each in log} == {yes["digest"]}


@promise("A4")
async def test_only_the_operator_decides(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        for name in ("alice", "queen", "system"):
            actor = an_actor(name)
            with pytest.raises(ForbiddenError):
                await desk.approvals.approve(actor, request["id"], request["digest"], via="test")
            with pytest.raises(ForbiddenError):
                await desk.approvals.deny(actor, request["id"], "no", via="test")
        assert await state_of(desk, request) == "pending"


async def test_who_asked_the_manager_and_the_operator_may_withdraw_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        with pytest.raises(NotFoundError):
            await desk.approvals.cancel(an_actor("bob"), request["id"], via="test")
        for name in ("alice", "queen", "operator"):
            request = await asked(desk)
            done = await desk.approvals.cancel(an_actor(name), request["id"], via="test")
            assert (done["state"], done["note"]) == ("cancelled", f"withdrawn by {name}")
            again = await desk.approvals.cancel(an_actor(name), request["id"], via="test")
            assert again["state"] == "cancelled"
        # Who withdrew its own request knows.
        assert [each["note"] for each in await told(desk)] == [
            "withdrawn by queen",
            "withdrawn by operator",
        ]


async def test_what_is_approved_cannot_be_withdrawn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        await approve(desk, request)

        with pytest.raises(ConflictError, match="is carried out"):
            await desk.approvals.cancel(an_actor("alice"), request["id"], via="test")


@promise("A5")
async def test_what_nobody_decides_in_its_time_is_cancelled_by_the_watchdog(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        request = await asked(desk, an_action(ttl_seconds=60))
        assert await desk.approvals.expire() == clock() + 60
        assert await state_of(desk, request) == "pending"
        clock.advance(60)
        # Its time is over, whether or not anybody has looked.
        with pytest.raises(ConflictError, match="has expired"):
            await approve(desk, request)

        assert await desk.approvals.expire() is None

        shown = await desk.approvals.show(request["id"])
        assert (shown["state"], shown["decided_by"]) == ("cancelled", "ttl-watchdog")
        (word,) = await told(desk)
        assert word["status"] == "cancelled"
        assert word["note"] == "expired: nobody decided within 60 s"


async def test_what_an_agent_that_is_gone_asked_for_is_withdrawn(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk, by="bob")
        await desk.agents.declare(
            desk.hive.model_copy(
                update={"agents": {n: a for n, a in desk.hive.agents.items() if n != "bob"}}
            )
        )
        await desk.approvals.expire()
        assert await state_of(desk, request) == "cancelled"


@promise("A6")
async def test_an_agent_has_25_requests_pending_at_most(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first = await asked(desk)
        for _ in range(PENDING_MAX - 1):
            await asked(desk)

        with pytest.raises(QuotaError, match="25"):
            await asked(desk)

        await asked(desk, by="bob")
        await approve(desk, first)
        await asked(desk)


async def test_a_request_that_is_repeated_asks_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        alice = an_actor("alice")
        first = await desk.approvals.request(alice, an_action(), key="k")
        assert await desk.approvals.request(alice, an_action(), key="k") == first
        with pytest.raises(ConflictError):
            await desk.approvals.request(alice, an_action(title="else"), key="k")
        assert len((await desk.approvals.listing())["approvals"]) == 1


async def test_a_kind_that_the_hive_cannot_carry_out_is_refused(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(UnavailableError):
            await asked(desk, Proposal(ApprovalKind.SPAWN, "Spawn carol"))


async def test_what_makes_no_sense_any_more_is_not_approved(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)
        recorder.refusal = ConflictError("The branch is gone.")

        with pytest.raises(ConflictError, match="The branch is gone"):
            await approve(desk, request)

        assert await state_of(desk, request) == "pending"


@promise("A7")
@pytest.mark.parametrize(
    ("error", "words"),
    [(UnavailableError("No room.", "Make some."), "No room. Make some."), (OSError(), UNEXPECTED)],
)
async def test_what_fails_is_failed_with_its_reason(
    tmp_path: Path, error: Exception, words: str
) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        recorder.error = error
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)
        await approve(desk, request)
        await carried(desk, request)

        shown = await desk.approvals.show(request["id"])
        assert (shown["state"], shown["error"]) == ("failed", words)
        assert [(each["status"], each["note"]) for each in await told(desk)] == [("failed", words)]
        assert recorder.ended == [ApprovalState.FAILED]
        # Asking for it again takes a request of its own.
        assert (await approve(desk, request))["state"] == "failed"
        assert len(recorder.ran) == 1


async def test_one_kind_does_not_wait_for_another_and_one_of_a_kind_runs_at_a_time(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        slow = Recorder()
        slow.gate.clear()
        desk.approvals.executors[ApprovalKind.SPAWN] = slow
        spawns = [await asked(desk, Proposal(ApprovalKind.SPAWN, name)) for name in ("a", "b")]
        action = await asked(desk)
        for request in (*spawns, action):
            await approve(desk, request)

        await carried(desk, action)

        assert len(slow.ran) == 1
        assert await state_of(desk, spawns[1]) == "approved"


@promise("A8")
@pytest.mark.parametrize("came_to", [{"commit": "abc"}, None])
async def test_what_was_running_is_settled_at_start_and_not_run_again(
    tmp_path: Path, came_to: dict[str, Any] | None
) -> None:
    recorder = Recorder()
    async with a_desk(tmp_path) as desk:
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)
        await approve(desk, request)
        recorder.gate.clear()
        task = asyncio.create_task(desk.carrying.carry(request["id"]))
        async with asyncio.timeout(BOUND_SECONDS):
            await recorder.began.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        hive = desk.hive
    async with a_store(tmp_path) as store:
        desk = await wired(store, hive)
        recorder.came_to = came_to
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        assert await state_of(desk, request) == "running"

        await carried(desk, request)

        shown = await desk.approvals.show(request["id"])
        ended = ("done", came_to, None) if came_to is not None else ("failed", None, INTERRUPTED)
        assert (shown["state"], shown["result"], shown["error"]) == ended
        assert len(recorder.ran) == 1
        assert len(await told(desk)) == 1


@promise("A8")
async def test_what_was_approved_before_a_crash_is_carried_out_after_it(tmp_path: Path) -> None:
    recorder = Recorder()
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        await approve(desk, request)
        hive = desk.hive
    async with a_store(tmp_path) as store:
        desk = await wired(store, hive)
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        await carried(desk, request)
        assert await state_of(desk, request) == "done"
        assert len(recorder.ran) == 1


@promise("A8")
async def test_nothing_of_a_restored_backup_is_carried_out_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder
        request = await asked(desk)
        await approve(desk, request)
        backup = await desk.store.backup()
        await carried(desk, request)

        await desk.store.restore(backup)
        await desk.carrying.settle()

        assert await state_of(desk, request) == "failed"
        assert len(recorder.ran) == 1


@promise("A8")
async def test_nothing_of_a_backup_restored_offline_is_carried_out_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        request = await asked(desk)
        await approve(desk, request)
        backup = await desk.store.backup()
        hive = desk.hive
    restore_offline(tmp_path, backup)
    async with a_store(tmp_path) as store:
        desk = await wired(store, hive)
        recorder = Recorder()
        desk.approvals.executors[ApprovalKind.ACTION] = recorder

        await carried(desk, request)

        assert await state_of(desk, request) == "failed"
        assert recorder.ran == []


async def test_the_snapshot_holds_what_is_open_and_the_last_50_that_are_not(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        standing = await asked(desk)
        for _ in range(52):
            clock.advance(1)
            request = await asked(desk)
            await desk.approvals.deny(THE_OPERATOR, request["id"], "", via="test")

        seen = (await Snapshots(desk.store, desk.agents).state())["approvals"]

        assert [each["id"] for each in seen] == [standing["id"], *range(4, 54)]
        assert seen == await desk.store.read(rows.in_sight)
