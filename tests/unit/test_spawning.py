"""Agents that come at run time, and their configurations, from asking to what then runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from hyperhive.config import Hive, RuntimeKind
from hyperhive.config.faults import DeclarationError
from hyperhive.config.spawned import SpawnedAgent, agent_of, read_settings
from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.approvals import ApprovalState
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    NotFoundError,
)
from hyperhive.domain.paths import HivePaths
from hyperhive.nix.parsing import NixParser
from hyperhive.nix.systems import NoSystems
from hyperhive.services.snapshot import Snapshots
from hyperhive.services.spawning import seed
from hyperhive.store import alerts
from hyperhive.store import approvals as approval_rows
from tests import proposals
from tests.builders import a_hive
from tests.promises import promise
from tests.spawning import QUEEN, Bench, a_bench

pytestmark = pytest.mark.anyio


class SlowSystems(NoSystems):
    """Systems whose building waits until it is let, and may be refused."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.refuses = ""

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        await self.let.wait()
        if self.refuses:
            raise InvalidError(self.refuses)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(tmp_path) as bench:
        yield bench


@promise("N1")
async def test_an_agent_is_there_only_after_the_operators_yes_and_the_manager_is_told(
    bench: Bench,
) -> None:
    asked = await bench.spawning.request(QUEEN, "carol", "sings")
    assert "carol" not in bench.desk.agents.hive.agents

    done = await bench.approve(asked["id"])

    assert done["state"] == "done"
    assert bench.desk.agents.hive.agents["carol"].description == "sings"
    told = [each["body"] for each in await bench.desk.recv("queen", count=9)]
    assert any(body.startswith("agent_spawned: carol") for body in told)
    assert any(body.startswith("approval_resolved") for body in told)


async def test_the_snapshot_says_who_asked_for_a_spawned_agent(bench: Bench) -> None:
    done = await bench.spawn()
    state = await Snapshots(bench.desk.store, bench.desk.agents).state()
    carol = next(each for each in state["agents"] if each["name"] == "carol")

    assert carol["declared"] is False
    assert carol["spawned"]["by"] == "queen"
    assert carol["spawned"]["approval"] == done["id"]


@promise("N2")
@pytest.mark.parametrize("name", ["alice", "operator", "api", "A", "x", "-carol", "carol--b"])
async def test_a_taken_reserved_or_malformed_name_is_refused_when_asked(
    bench: Bench, name: str
) -> None:
    with pytest.raises(HiveError, match=r"[Cc]hoose another name"):
        await bench.spawning.request(QUEEN, name, "sings")


@promise("N2")
async def test_the_name_of_a_tombstone_is_refused_with_the_ways_to_have_it(bench: Bench) -> None:
    await bench.spawn()
    await bench.spawning.destroy(THE_OPERATOR, "carol", via="test")
    with pytest.raises(ConflictError, match="revive it or purge"):
        await bench.spawning.request(QUEEN, "carol", "sings again")


async def test_only_manager_and_operator_ask_for_agents(bench: Bench) -> None:
    with pytest.raises(ForbiddenError, match="Only the manager"):
        await bench.spawning.request(actors.agent("alice"), "carol", "sings")


@promise("N3")
@pytest.mark.parametrize(
    "key",
    ["role", "name", "runtime", "binds", "environment", "credentials", "quotas", "restart"],
)
def test_a_commit_decides_nothing_of_what_a_box_lets_an_agent_reach(key: str) -> None:
    with pytest.raises(DeclarationError, match=f"`{key}` is not a commit's to decide"):
        read_settings(json.dumps({key: "x"}))


@promise("N3")
@pytest.mark.parametrize("key", ["kind", "command", "script", "extraArgs"])
def test_a_commit_does_not_choose_the_program(key: str) -> None:
    with pytest.raises(DeclarationError, match=rf"driver\.{key}: The key `{key}` is not"):
        read_settings(json.dumps({"driver": {key: "x"}}))


def test_every_fault_of_an_agent_json_is_told_at_once() -> None:
    with pytest.raises(DeclarationError) as refused:
        read_settings('{"description": 3, "driver": {"turnLimitSeconds": -1}, "colour": "red"}')
    assert [fault.path for fault in refused.value.faults] == [
        "description",
        "driver.turnLimitSeconds",
        "colour",
    ]


@promise("N6")
async def test_an_approved_commit_is_deployed_and_the_tags_tell_the_story(bench: Bench) -> None:
    await bench.spawn()
    before = await bench.kept.main("carol")
    commit = await bench.propose(description="hums")

    asked = await bench.deploying.request(QUEEN, "carol", commit[:8])
    shown = (await bench.approvals.show(asked["id"]))["shown"]
    assert await bench.kept.main("carol") == before
    done = await bench.approve(asked["id"])

    assert '+{"description": "hums"}' in shown["payload"]["diff"]
    assert done["state"] == "done"
    assert bench.desk.agents.hive.agents["carol"].description == "hums"
    made = await bench.kept.main("carol")
    assert bench.desk.agents.revisions["carol"] == made
    tags, number = await bench.kept.tags("carol"), asked["id"]
    assert [tags[f"{tag}/{number}"] for tag in ("proposal", "approved", "building")] == [commit] * 3
    assert tags[f"deployed/{number}"] == made
    with pytest.raises(ConflictError, match="runs already"):
        await bench.deploying.request(QUEEN, "carol", commit)


async def test_a_wrong_agent_json_never_reaches_the_operator(bench: Bench) -> None:
    await bench.spawn()
    commit = await bench.propose(runtime="process")
    with pytest.raises(DeclarationError, match="not a commit's to decide"):
        await bench.deploying.request(QUEEN, "carol", commit)
    pending = await bench.approvals.listing(state=ApprovalState.PENDING)
    assert pending["approvals"] == []


async def test_an_unknown_recipient_is_refused_with_its_place(bench: Bench) -> None:
    await bench.spawn()
    commit = await bench.propose(mayMessage=["queen", "nobody"])
    with pytest.raises(DeclarationError, match=r"mayMessage\[1\]"):
        await bench.deploying.request(QUEEN, "carol", commit)


@promise("N6")
async def test_a_change_against_what_no_longer_runs_is_not_approved(bench: Bench) -> None:
    await bench.spawn()
    one = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="one"))
    two = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="two"))
    await bench.approve(one["id"])
    with pytest.raises(ConflictError, match="has changed since"):
        await bench.approve(two["id"])


async def expired(bench: Bench, number: int) -> tuple[str, str | None]:
    """Have what is over ended; give what one approval is then, and its note."""
    await bench.approvals.expire()
    shown = await bench.approvals.show(number)
    return shown["state"], shown["note"]


async def test_a_change_of_what_no_longer_runs_is_withdrawn_and_whoever_asked_is_told(
    bench: Bench,
) -> None:
    await bench.spawn()
    await bench.deploying.settle_trials()
    one = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="one"))
    two = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="two"))
    assert await expired(bench, two["id"]) == ("pending", None)
    await bench.approve(one["id"])

    state, note = await expired(bench, two["id"])

    assert state == "cancelled"
    assert note is not None
    assert note.startswith("What carol runs has changed since")
    told = (await bench.desk.recv("queen", count=9))[-1]["body"]
    assert f'"id":{two["id"]}' in told
    assert note in told


async def test_a_change_waits_while_what_it_was_proposed_for_may_still_be_put_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.spawn()
    one = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="one"))
    two = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="two"))
    seen = []

    async def deploy(*_: object) -> str:
        seen.append(await expired(bench, two["id"]))
        with pytest.raises(ConflictError, match="is being tried"):
            await bench.deploying.request(QUEEN, "carol", two["commit"])
        raise ConflictError("It does not come up.")

    await bench.deploying.settle_trials()
    monkeypatch.setattr(bench.kept, "deploy", deploy)
    assert (await bench.approve(one["id"]))["state"] == "failed"

    assert [*seen, await expired(bench, two["id"])] == [("pending", None)] * 2


async def test_a_change_of_an_agent_that_is_gone_is_withdrawn(bench: Bench) -> None:
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="hums"))
    await bench.spawning.destroy(THE_OPERATOR, "carol", via="test")
    assert await expired(bench, asked["id"]) == ("cancelled", "carol is no longer in the hive.")


async def test_a_name_is_asked_for_once_at_a_time(bench: Bench) -> None:
    asked = await bench.spawning.request(QUEEN, "carol", "sings", key="k")
    with pytest.raises(ConflictError, match=f"Approval {asked['id']} asks for an agent carol"):
        await bench.spawning.request(THE_OPERATOR, "carol", "dances")
    assert await bench.spawning.request(QUEEN, "carol", "sings", key="k") == asked

    await bench.approvals.deny(THE_OPERATOR, asked["id"], "", via="test")
    await bench.spawning.request(THE_OPERATOR, "carol", "dances")


async def test_a_spawn_whose_name_was_taken_is_withdrawn_but_not_one_without_room(
    bench: Bench,
) -> None:
    asked = [(await bench.spawning.request(QUEEN, name, "x"))["id"] for name in ("carol", "dave")]
    hive = bench.desk.agents.declared
    limits = hive.limits.model_copy(update={"agents": len(hive.agents)})
    taken = hive.agents["alice"].model_copy(update={"name": "carol"})
    agents = {**hive.agents, "carol": taken}
    await declare(bench, hive.model_copy(update={"limits": limits, "agents": agents}))

    assert await expired(bench, asked[0]) == (
        "cancelled",
        "carol is an agent of this hive. Choose another name.",
    )
    assert await expired(bench, asked[1]) == ("pending", None)


async def test_what_was_denied_is_tagged_so(bench: Bench) -> None:
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="no"))
    await bench.approvals.deny(THE_OPERATOR, asked["id"], "too loud", via="test")
    await bench.deploying.tell()
    assert f"denied/{asked['id']}" in await bench.kept.tags("carol")


async def test_a_tag_that_could_not_be_set_is_set_later_and_keeps_no_other_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.spawn()
    denied = []
    for what in ("one", "two"):
        commit = await bench.propose(description=what)
        asked = await bench.deploying.request(QUEEN, "carol", commit)
        await bench.approvals.deny(THE_OPERATOR, asked["id"], "no", via="test")
        denied.append(f"denied/{asked['id']}")
    tag, fails = bench.kept.tag, [denied[0]]

    async def sometimes(agent: str, name: str, commit: str, message: str = "") -> None:
        if name in fails:
            raise OSError("disk full")
        await tag(agent, name, commit, message)

    monkeypatch.setattr(bench.kept, "tag", sometimes)

    assert not await bench.deploying.tell()
    assert set(denied) & set(await bench.kept.tags("carol")) == {denied[1]}
    fails.clear()
    assert await bench.deploying.tell()
    assert set(denied) <= set(await bench.kept.tags("carol"))


async def test_an_earlier_state_is_deployed_again(bench: Bench) -> None:
    await bench.spawn()
    first = await bench.kept.main("carol")
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="hums"))
    await bench.approve(asked["id"])

    await bench.deploying.redeploy(THE_OPERATOR, "carol", first[:8], via="test")

    await bench.redeployed("carol")
    assert bench.desk.agents.hive.agents["carol"].description == "sings"
    history = await bench.deploying.history("carol")
    assert len(history["deployments"]) == 3


async def test_an_earlier_state_is_built_once_the_operator_was_answered(tmp_path: Path) -> None:
    systems = SlowSystems()
    async with a_bench(tmp_path, systems=systems) as bench:
        await bench.spawn()
        first = await bench.kept.main("carol")
        commit = await bench.propose(description="hums")
        asked = await bench.deploying.request(QUEEN, "carol", commit)
        await bench.approve(asked["id"])
        systems.let.clear()
        systems.refuses = "the store is full"

        answer = await bench.deploying.redeploy(THE_OPERATOR, "carol", first, via="test")

        assert answer["revision"] == first
        assert bench.desk.agents.hive.agents["carol"].description == "hums"
        systems.let.set()
        await bench.redeployed("carol")
        text = await bench.desk.store.read(partial(alerts.text_of, key="deploy:carol"))
        assert "the store is full" in (text or "")
        assert bench.desk.agents.hive.agents["carol"].description == "hums"


@promise("N7")
@pytest.mark.parametrize("deployed", [False, True])
async def test_a_change_cut_short_is_settled_by_its_tags_and_never_run_again(
    bench: Bench, deployed: bool
) -> None:
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="hums"))
    number = asked["id"]
    row = await bench.desk.store.read(lambda asking: approval_rows.find(asking, number))
    assert row is not None
    approved = approval_rows.approved(row)
    before = made = await bench.kept.main("carol")
    if deployed:
        made = await bench.kept.deploy("carol", asked["commit"], number, "hums")
        applied = HivePaths(bench.directory, bench.directory).applied_of("carol")
        proposals.git(applied, "update-ref", "refs/heads/main", before)

    result = await bench.deploying.settle(approved)

    assert (result is not None) is deployed
    assert await bench.kept.main("carol") == bench.desk.agents.revisions["carol"] == made
    assert (f"failed/{number}" in await bench.kept.tags("carol")) is not deployed
    said = bench.desk.agents.hive.agents["carol"].description
    assert said == ("hums" if deployed else "sings")


@promise("N7")
async def test_a_tag_of_before_a_restored_backup_does_not_make_another_change_done(
    bench: Bench,
) -> None:
    await bench.spawn()
    asked = await bench.deploying.request(QUEEN, "carol", await bench.propose(description="hums"))
    row = await bench.desk.store.read(lambda asking: approval_rows.find(asking, asked["id"]))
    assert row is not None
    await bench.kept.tag("carol", f"deployed/{asked['id']}", await bench.kept.main("carol"))

    assert await bench.deploying.settle(approval_rows.approved(row)) is None


async def test_an_agent_whose_socket_cannot_be_opened_is_there_and_an_alert_says_so(
    bench: Bench,
) -> None:
    async def open_it(name: str) -> None:
        del name

    async def fail(name: str) -> None:
        raise OSError("no room")

    bench.spawning.let_in = fail
    done = await bench.spawn()

    assert (done["state"], done["result"]["ready"]) == ("done", False)
    assert "carol" in bench.desk.agents.hive.agents
    read = partial(alerts.text_of, key="socket:carol")
    assert "could not be opened (no room)" in (await bench.desk.store.read(read) or "")

    bench.spawning.let_in = open_it
    for act in (bench.spawning.destroy, bench.spawning.revive):
        await act(THE_OPERATOR, "carol", via="test")
    assert await bench.desk.store.read(read) is None


@promise("N7")
async def test_a_spawn_cut_short_before_its_row_leaves_nothing(bench: Bench) -> None:
    asked = await bench.spawning.request(QUEEN, "carol", "sings")
    number = asked["id"]
    row = await bench.desk.store.read(lambda asking: approval_rows.find(asking, number))
    assert row is not None
    await bench.kept.seed("carol", {"agent.json": "{}"}, subject="half", manager="queen")

    assert await bench.spawning.settle(approval_rows.approved(row)) is None

    assert not HivePaths(bench.directory, bench.directory).config("carol").exists()
    assert "carol" not in bench.desk.agents.hive.agents


async def test_a_destroyed_agent_can_be_revived_as_it_was(bench: Bench) -> None:
    await bench.spawn()
    await bench.spawning.destroy(THE_OPERATOR, "carol", via="test")
    assert "carol" not in bench.desk.agents.hive.agents

    await bench.spawning.revive(THE_OPERATOR, "carol", via="test")

    assert bench.desk.agents.hive.agents["carol"].description == "sings"


async def test_neither_a_declared_nor_an_unknown_agent_is_destroyed(bench: Bench) -> None:
    with pytest.raises(ForbiddenError, match=r"agents\.alice"):
        await bench.spawning.destroy(THE_OPERATOR, "alice", via="test")
    with pytest.raises(NotFoundError):
        await bench.spawning.destroy(THE_OPERATOR, "nobody", via="test")


@promise("N8")
async def test_a_new_declaration_keeps_the_spawned_and_wins_over_one_of_its_name(
    bench: Bench,
) -> None:
    await bench.spawn()
    await bench.desk.agents.declare(a_hive(bench.directory, bench.directory / "run"))
    assert bench.desk.agents.hive.agents["carol"].description == "sings"

    names = ("queen", "alice", "carol")
    await bench.desk.agents.declare(
        a_hive(bench.directory, bench.directory / "run", names, carol={"description": "declared"})
    )

    assert bench.desk.agents.hive.agents["carol"].description == "declared"
    state = await Snapshots(bench.desk.store, bench.desk.agents).state()
    assert "spawned:carol" in {alert["key"] for alert in state["alerts"]}


async def declare(bench: Bench, hive: Hive) -> None:
    await bench.desk.store.write(lambda work: bench.desk.agents.take(work, hive))


@promise("N1")
async def test_the_declaration_says_how_many_agents_there_may_be(bench: Bench) -> None:
    hive = bench.desk.agents.declared
    limits = hive.limits.model_copy(update={"agents": len(hive.agents) + 1})
    await declare(bench, hive.model_copy(update={"limits": limits}))
    await bench.spawn("carol")

    with pytest.raises(ConflictError, match=rf"limits\.agents is {limits.agents}"):
        await bench.spawning.request(QUEEN, "dave", "hums")


async def test_only_where_a_system_is_built_a_configuration_begins_with_one() -> None:
    built = seed("carol", "{}", RuntimeKind.NIXOS_CONTAINER)
    assert await NixParser().fault(built["agent.nix"]) is None
    assert "`agent.nix`" in built["README.md"]
    assert seed("carol", "{}", RuntimeKind.BUBBLEWRAP).keys() == {"agent.json", "README.md"}


PAID = {"driver": {"kind": "claude"}, "credentials": {"ANTHROPIC_API_KEY": "/k", "DEPLOY": "/d"}}


@promise("N3")
@pytest.mark.parametrize(
    ("spawned", "expected"),
    [({}, {"ANTHROPIC_API_KEY": Path("/k")}), ({"X": "/x"}, {"X": Path("/x")})],
)
async def test_a_spawned_agent_has_its_managers_key_of_a_model_and_no_other_secret(
    tmp_path: Path, spawned: dict[str, str], expected: dict[str, Path]
) -> None:
    more = {"spawned": {"credentials": spawned}}
    hive = a_hive(tmp_path, tmp_path / "run", ("queen",), hive=more, queen=PAID)
    assert agent_of(hive, "carol", SpawnedAgent()).credentials == expected


async def test_a_program_that_no_model_answers_gets_no_credential(tmp_path: Path) -> None:
    more = {"spawned": {"credentials": {"X": "/x"}}}
    hive = a_hive(tmp_path, tmp_path / "run", ("queen",), hive=more)
    assert agent_of(hive, "carol", SpawnedAgent()).credentials == {}


async def test_the_manager_is_told_that_a_new_agent_has_not_said_hello(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperhive.services.spawning.HELLO_SECONDS", 0.0)
    bench.spawning.awaits_hello = True
    done = await bench.spawn()
    assert done["result"]["ready"] is False
    told = [each["body"] for each in await bench.desk.recv("queen", count=9)]
    assert any("carol has not said hello yet" in body for body in told)
