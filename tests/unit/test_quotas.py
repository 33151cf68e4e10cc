"""What an agent may use: rates that fill again, counts, sizes, and refusals that say when."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.approvals import ApprovalKind, Proposal
from hyperhive.domain.errors import NotFoundError, QuotaError, QuotaUsedError, TooLargeError
from hyperhive.domain.quotas import Bucket, Grant, Quota
from hyperhive.store import Writing
from tests.builders import Desk, ManualClock, a_desk, an_actor
from tests.promises import promise

pytestmark = pytest.mark.anyio


async def messages_left(desk: Desk, agent: str = "alice") -> int:
    return int((await desk.quotas.of(agent))["messages_per_minute"]["left"])


@promise("Q1")
async def test_the_121st_message_of_a_minute_is_refused_and_the_refusal_says_when(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with a_desk(tmp_path, clock=clock) as desk:
        for _ in range(120):
            await desk.send("alice", "bob")
        before = desk.store.bus.seq

        with pytest.raises(QuotaUsedError) as refused:
            await desk.send("alice", "bob")

        assert desk.store.bus.seq == before
        error = refused.value
        assert (error.quota, error.used, error.limit) == ("messages_per_minute", 120, 120)
        assert error.frees_in_seconds == pytest.approx(0.5)
        assert "messages_per_minute is used up: 120 of 120" in str(error)
        assert "room again in 0.5 s" in str(error)
        clock.advance(error.frees_in_seconds or 0.0)
        await desk.send("alice", "bob")
        with pytest.raises(QuotaUsedError):
            await desk.send("alice", "bob")


@promise("Q1")
async def test_a_burst_of_callers_gets_no_more_than_the_quota_together(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        sends = (desk.messages.send(an_actor("alice"), "bob", str(n)) for n in range(300))
        done = await asyncio.gather(*sends, return_exceptions=True)

        assert sum(not isinstance(each, Exception) for each in done) == 120
        assert {type(each) for each in done if isinstance(each, Exception)} == {QuotaUsedError}


@promise("Q1")
async def test_neither_the_operator_nor_the_hive_nor_another_agent_is_bound(
    tmp_path: Path,
) -> None:
    few = {"quotas": {"messagesPerMinute": 1, "broadcastsPerMinute": 1}}
    async with a_desk(tmp_path, alice=few) as desk:
        await desk.send("alice", "bob")

        for sender in ("operator", "system", "bob", "queen"):
            for _ in range(3):
                await desk.send(sender, "alice")


async def test_a_send_that_is_repeated_with_its_key_takes_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path, alice={"quotas": {"messagesPerMinute": 2}}) as desk:
        first = await desk.messages.send(an_actor("alice"), "bob", "once", key="k")
        for _ in range(9):
            again = await desk.messages.send(an_actor("alice"), "bob", "once", key="k")
            assert again == first

        assert await messages_left(desk) == 1


@pytest.mark.parametrize(
    "given",
    [{"to": "nobody"}, {"to": "queen"}, {"body": " "}, {"in_reply_to": 99}],
    ids=lambda given: next(iter(given.items())),
)
async def test_a_refused_send_takes_nothing(tmp_path: Path, given: dict[str, Any]) -> None:
    async with a_desk(tmp_path, alice={"mayMessage": ["bob"]}) as desk:
        with pytest.raises(Exception, match=r"."):
            await desk.messages.send(an_actor("alice"), **{"to": "bob", "body": "x", **given})

        assert await messages_left(desk) == 120


async def test_a_broadcast_takes_one_of_both_rates_or_of_neither(tmp_path: Path) -> None:
    few = {"quotas": {"messagesPerMinute": 2, "broadcastsPerMinute": 6}}
    async with a_desk(tmp_path, alice=few) as desk:
        await desk.messages.send(an_actor("alice"), "*", "all hands")
        standing = await desk.quotas.of("alice")
        assert standing["messages_per_minute"]["left"] == 1
        assert standing["broadcasts_per_minute"]["left"] == 5

        await desk.send("alice", "bob")
        with pytest.raises(QuotaUsedError, match="messages_per_minute"):
            await desk.messages.send(an_actor("alice"), "*", "all hands")

        assert (await desk.quotas.of("alice"))["broadcasts_per_minute"]["left"] == 5


async def test_a_quota_of_nothing_forbids_and_names_the_option(tmp_path: Path) -> None:
    async with a_desk(tmp_path, hive={"quotas": {"broadcastsPerMinute": 0}}) as desk:
        with pytest.raises(QuotaError, match=r"quotas\.broadcastsPerMinute is 0, which forbids"):
            await desk.messages.send(an_actor("alice"), "*", "all hands")

        shown = (await desk.quotas.of("alice"))["broadcasts_per_minute"]
        assert (shown["left"], shown["frees_in_seconds"]) == (0, None)


async def test_an_agents_own_quotas_override_the_hives(tmp_path: Path) -> None:
    hive = {"quotas": {"messagesPerMinute": 3, "messageBytes": 10}}
    own = {"quotas": {"messageBytes": 20}}
    async with a_desk(tmp_path, hive=hive, alice=own) as desk:
        await desk.send("alice", "bob", "x" * 20)

        with pytest.raises(
            TooLargeError, match=r"11 bytes; the limit is 10 \(quotas.messageBytes\)"
        ):
            await desk.send("bob", "alice", "x" * 11)
        with pytest.raises(TooLargeError, match=r"21 bytes; the limit is 20 \("):
            await desk.send("alice", "bob", "x" * 21)
        assert (await desk.quotas.of("alice"))["message_bytes"] == {"limit": 20}
        assert await messages_left(desk) == 2


async def test_one_approval_too_many_is_told_when_the_next_one_expires(tmp_path: Path) -> None:
    clock = ManualClock()
    hive = {"quotas": {"pendingApprovals": 2}}
    async with a_desk(tmp_path, hive=hive, clock=clock) as desk:
        alice = an_actor("alice")
        for wait in (None, 90.0):
            asked = Proposal(ApprovalKind.ACTION, "Merge it", ttl_seconds=wait)
            await desk.approvals.request(alice, asked)
        await desk.approvals.request(
            an_actor("bob"), Proposal(ApprovalKind.ACTION, "Merge it", ttl_seconds=5.0)
        )
        clock.advance(30.0)

        with pytest.raises(QuotaUsedError, match=r"2 of 2\. There is room again in 60 s\.") as used:
            await desk.approvals.request(alice, Proposal(ApprovalKind.ACTION, "Merge it, too"))
        assert used.value.frees_in_seconds == 60.0


async def test_what_a_write_took_is_given_back_when_its_commit_fails(tmp_path: Path) -> None:
    async with a_desk(tmp_path, alice={"quotas": {"messagesPerMinute": 3}}) as desk:

        def job(work: Writing) -> None:
            desk.quotas.take(work, an_actor("alice"), Quota.MESSAGES)
            work.connection.rollback()
            raise RuntimeError("the disk is full")

        with pytest.raises(RuntimeError):
            await desk.store.write(job)

        assert await messages_left(desk) == 3


async def test_a_count_is_refused_at_its_limit_and_names_the_way_out(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        desk.quotas.check(an_actor("alice"), Quota.PENDING_APPROVALS, 24)
        desk.quotas.check(an_actor("operator"), Quota.PENDING_APPROVALS, 99)

        with pytest.raises(QuotaUsedError, match="pending_approvals is used up: 25 of 25") as error:
            desk.quotas.check(an_actor("alice"), Quota.PENDING_APPROVALS, 25)
        assert "cancel_thread" in error.value.remedy
        with pytest.raises(NotFoundError, match="no agent 'carol'"):
            await desk.quotas.of("carol")


GRANT = Grant(Quota.REMINDERS, limit=6, burst=10)


def test_a_bucket_begins_with_its_burst_and_fills_at_its_rate() -> None:
    bucket = Bucket.full(GRANT, 0.0)
    for _ in range(10):
        bucket = bucket.taken(GRANT, 0.0)

    with pytest.raises(QuotaUsedError):
        bucket.taken(GRANT, 9.9)
    assert bucket.taken(GRANT, 10.0).left() == 0
    assert bucket.filled(GRANT, 1e9).left() == 10


def test_a_clock_that_is_set_back_neither_fills_a_bucket_nor_binds_it_to_the_future() -> None:
    bucket = Bucket.full(GRANT, 1_000_000.0)
    for _ in range(10):
        bucket = bucket.taken(GRANT, 1_000_000.0)

    back = bucket.filled(GRANT, 0.0)

    assert back.left() == 0
    assert back.filled(GRANT, 10.0).left() == 1


def test_many_small_steps_fill_a_bucket_as_one_large_one_does() -> None:
    grant = Grant(Quota.MESSAGES, limit=120, burst=120)
    bucket = Bucket(0.0, 0.0)
    for step in range(1, 501):
        bucket = bucket.filled(grant, step * 0.001)

    assert bucket.left() == 1


def test_a_burst_of_none_beside_a_rate_still_lets_one_through() -> None:
    grant = Grant(Quota.REMINDERS, limit=6, burst=0)

    assert Bucket.full(grant, 0.0).left() == 1
    assert Bucket.full(Grant(Quota.REMINDERS, limit=0, burst=0), 0.0).left() == 0
