"""A change is deployed when its agent came up with it; otherwise what ran before runs again."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.agents import AgentState
from hyperhive.domain.approvals import ApprovalState
from hyperhive.domain.errors import ConflictError, InvalidError
from hyperhive.domain.instances import Crash, Recorded
from hyperhive.domain.trials import Verdict, verdict
from hyperhive.services.control import Control
from hyperhive.services.snapshot import Snapshots
from hyperhive.store import approvals as approval_rows
from tests import proposals
from tests.promises import promise
from tests.spawning import QUEEN, Bench, Boxes, a_bench

pytestmark = pytest.mark.anyio

RAN = Recorded(incarnation="one", state=AgentState.READY)
SOON = {"restart": {"rollout": {"drainSeconds": 0.0, "managerReadySeconds": 0.0}}}


def crashed(incarnation: str) -> Recorded:
    crash = Crash(1.0, incarnation, "it exited with status 1")
    return Recorded(incarnation=None, crashes=(crash,), state=AgentState.BACKING_OFF)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (RAN, None),
        (Recorded(incarnation="two", state=AgentState.STARTING), None),
        (Recorded(incarnation=None, state=AgentState.READY), None),
        (Recorded(incarnation="two", state=AgentState.BUSY), Verdict()),
        (Recorded(incarnation="two", state=AgentState.NEEDS_LOGIN), Verdict()),
        (crashed("one"), None),
        (crashed("two"), Verdict("it exited with status 1")),
        (Recorded(held=True), Verdict("it was stopped meanwhile")),
        (None, Verdict("it was removed meanwhile")),
    ],
)
def test_a_new_box_that_says_hello_came_up_and_its_first_crash_decides(
    now: Recorded | None, expected: Verdict | None
) -> None:
    assert verdict(RAN, now) == expected


def test_a_box_that_was_not_made_from_the_change_is_waited_out() -> None:
    ready = Recorded(incarnation="two", state=AgentState.READY)

    assert verdict(RAN, ready, is_with_change=False) is None
    assert verdict(RAN, crashed("two"), is_with_change=False) == verdict(RAN, crashed("two"))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(tmp_path) as bench:
        await bench.spawn()
        yield bench


async def change(bench: Bench, **settings: Any) -> dict[str, Any]:
    """Propose a change of carol, and have it approved."""
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(**settings))
    return await bench.approve(asked["id"])


async def alerts(bench: Bench) -> dict[str, str]:
    state = await Snapshots(bench.desk.store, bench.desk.agents).state()
    return {alert["key"]: alert["text"] for alert in state["alerts"]}


@promise("N6")
async def test_a_change_is_deployed_when_its_agent_is_ready_with_it(bench: Bench) -> None:
    async with Boxes(bench).running("carol") as boxes:
        done = await change(bench, description="hums")

    assert (done["state"], done["result"]["ready"]) == ("done", True)
    assert boxes.started == [("carol", "sings"), ("carol", "hums")]
    assert f"deployed/{done['id']}" in await bench.kept.tags("carol")


@promise("N6")
async def test_a_box_that_was_on_its_way_when_the_change_came_proves_nothing(bench: Bench) -> None:
    boxes = Boxes(bench)
    async with boxes.running("carol"):
        boxes.late["carol"] = "sings"
        changing = asyncio.create_task(change(bench, description="hums"))
        with bench.desk.store.bus.watch() as watch:
            while len(boxes.started) < 2 or bench.desk.agents.hive.agents["carol"].description != (
                "hums"
            ):
                await watch.wait(1.0)
        await bench.desk.agents.set_state("carol", AgentState.READY)
        done, _ = await asyncio.wait({changing}, timeout=0.2)
        assert not done
        await boxes.start("carol")
        approval = await changing

    assert approval["state"] == "done", approval
    assert [described for _, described in boxes.started] == ["sings", "sings", "hums"]


@promise("N9")
async def test_a_change_whose_box_crashes_is_rolled_back_and_whoever_asked_is_told(
    bench: Bench,
) -> None:
    before = await bench.kept.main("carol")
    boxes = Boxes(bench)
    boxes.refused.add("breaks")
    async with boxes.running("carol"):
        failed = await change(bench, description="breaks")
        with bench.desk.store.bus.watch() as watch:
            while bench.desk.agents.state_of("carol") is not AgentState.READY:
                await watch.wait(1.0)

    number = failed["id"]
    assert failed["state"] == "failed"
    assert "did not come up with it: it exited with status 1" in failed["error"]
    assert boxes.started[-1] == ("carol", "sings")
    assert await bench.kept.main("carol") == before
    tags = await bench.kept.tags("carol")
    assert f"failed/{number}" in tags
    assert f"deployed/{number}" not in tags
    applied = bench.directory / "applied" / "carol"
    said = proposals.git(applied, "tag", "--list", "--format=%(contents)", f"failed/{number}")
    assert "it exited with status 1" in said
    told = [each["body"] for each in await bench.desk.recv("queen", count=9)]
    assert any('"status":"failed"' in body and "status 1" in body for body in told)


@promise("N9")
async def test_a_change_whose_agent_never_says_hello_is_rolled_back(tmp_path: Path) -> None:
    async with a_bench(tmp_path, SOON) as bench:
        await bench.spawn()
        boxes = Boxes(bench)
        boxes.silent.add("mute")
        async with boxes.running("carol"):
            failed = await change(bench, description="mute")
        assert failed["state"] == "failed"
        assert "not ready in time" in failed["error"]
        assert bench.desk.agents.hive.agents["carol"].description == "sings"


@promise("N9")
async def test_a_change_can_end_a_crash_loop(bench: Bench) -> None:
    boxes = Boxes(bench)
    boxes.refused.add("sings")
    async with boxes.running("carol"):
        done = await change(bench, description="hums")
    assert done["state"] == "done", done
    assert boxes.started[-1] == ("carol", "hums")


async def test_an_agent_that_is_held_is_not_started_to_try_a_change(bench: Bench) -> None:
    control = Control(bench.desk.store, bench.desk.agents, bench.desk.sessions)
    await control.stop(THE_OPERATOR, "carol", via="test")
    async with Boxes(bench).running() as boxes:
        done = await change(bench, description="hums")
    assert (done["state"], done["result"]["ready"]) == ("done", None)
    assert boxes.started == []


@promise("N7")
async def test_what_was_on_trial_when_the_server_died_is_put_back(bench: Bench) -> None:
    commit = await bench.propose(description="hums")
    asked = await bench.deploying.request(QUEEN, "carol", commit)
    number = asked["id"]
    row = await bench.desk.store.read(lambda asking: approval_rows.find(asking, number))
    assert row is not None
    boxes = Boxes(bench)
    boxes.silent.add("hums")
    async with boxes.running("carol"):
        digest = (await bench.approvals.show(number))["digest"]
        await bench.approvals.approve(THE_OPERATOR, number, digest, via="test")
        trying = asyncio.create_task(bench.carrying.carry(number))
        with bench.desk.store.bus.watch() as watch:
            while ("carol", "hums") not in boxes.started:
                await watch.wait(1.0)
        await bench.deploying.settle_trials()
        assert bench.desk.agents.hive.agents["carol"].description == "hums"
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying

    await bench.deploying.settle_trials()
    assert bench.desk.agents.hive.agents["carol"].description == "sings"
    assert await bench.deploying.settle(approval_rows.approved(row)) is None
    assert f"failed/{number}" in await bench.kept.tags("carol")


@promise("N7")
async def test_what_was_deployed_when_the_server_died_is_not_started_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = bench.kept.deploy

    async def deploy_and_die(*arguments: Any) -> str:
        await deploy(*arguments)
        raise asyncio.CancelledError

    monkeypatch.setattr(bench.kept, "deploy", deploy_and_die)
    async with Boxes(bench).running("carol"):
        with pytest.raises(asyncio.CancelledError):
            await change(bench, description="hums")
    (row, *_) = await bench.desk.store.read(
        lambda asking: approval_rows.in_state(asking, ApprovalState.RUNNING)
    )
    monkeypatch.setattr(bench.trials, "restart_with", lambda *_: pytest.fail("it is restarted"))

    result = await bench.deploying.settle(approval_rows.approved(row))

    main = await bench.kept.main("carol")
    assert result == {"agent": "carol", "revision": main, "ready": None}
    assert bench.desk.agents.revisions["carol"] == main


@promise("N9")
async def test_an_earlier_state_that_no_longer_comes_up_is_not_deployed_again(
    bench: Bench,
) -> None:
    first = await bench.kept.main("carol")
    boxes = Boxes(bench)
    async with boxes.running("carol"):
        await change(bench, description="hums")
        now = await bench.kept.main("carol")
        boxes.refused.add("sings")

        await bench.deploying.redeploy(THE_OPERATOR, "carol", first[:8], via="test")
        with pytest.raises(ConflictError, match="being tried"):
            await bench.deploying.redeploy(THE_OPERATOR, "carol", first[:8], via="test")

        await bench.redeployed("carol")
    assert "it exited with status 1" in (await alerts(bench))["deploy:carol"]
    assert await bench.kept.main("carol") == now
    assert bench.desk.agents.hive.agents["carol"].description == "hums"


async def test_a_change_waits_for_a_restart_that_is_under_way(bench: Bench) -> None:
    async with Boxes(bench).running("queen", "carol") as boxes:
        await bench.restarts.begin(THE_OPERATOR, None, "a rebuild", via="test")
        done = await change(bench, description="hums")
    assert done["state"] == "done"
    assert boxes.started[-1] == ("carol", "hums")
    assert [name for name, _ in boxes.started] == ["queen", "carol", "queen", "carol", "carol"]


@pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="nix-instantiate is not installed"
)
async def test_an_agent_nix_that_is_no_expression_never_reaches_the_operator(bench: Bench) -> None:
    commit = await bench.propose(description="hums", nix="{ pkgs, ... }: { a = ; }")
    with pytest.raises(InvalidError, match=r"agent\.nix is no Nix expression: .*unexpected ';'"):
        await bench.deploying.request(QUEEN, "carol", commit)
    listed = await bench.approvals.listing()
    assert [each["kind"] for each in listed["approvals"]] == ["spawn"]
