"""Newer inputs of spawned agents: found in a copy, shown, taken whole or put back."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain import actors
from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.errors import (
    ConflictError,
    ForbiddenError,
    HiveError,
    InvalidError,
    UnavailableError,
)
from hyperhive.domain.inputs import changes, difference
from hyperhive.nix.flakes import FlakeInputs, NoInputs
from hyperhive.nix.systems import NoSystems
from hyperhive.services.carrying import Carrying
from hyperhive.store import approvals as approval_rows
from hyperhive.store import audit
from tests.promises import promise
from tests.spawning import QUEEN, Bench, Boxes, a_bench

pytestmark = pytest.mark.anyio

needs_nix = pytest.mark.skipif(shutil.which("nix") is None, reason="nix is not installed")


def a_lock(**revisions: str) -> str:
    """Write a lock whose inputs are at these revisions."""
    nodes: dict[str, Any] = {
        name: {"locked": {"rev": rev * 40, "lastModified": 1_700_000_000}}
        for name, rev in revisions.items()
    }
    nodes["root"] = {"inputs": {name: name for name in revisions}}
    return json.dumps({"nodes": nodes, "root": "root", "version": 7}, indent=2) + "\n"


@dataclass
class Inputs:
    """The port `Inputs` in memory."""

    placed: str
    newest: str
    before: str | None = None

    async def lock(self) -> str:
        return self.placed

    async def newer(self) -> str:
        return self.newest

    async def try_out(self, lock: str) -> None:
        self.before, self.placed = self.placed, lock

    async def keep(self) -> None:
        self.before = None

    async def put_back(self) -> bool:
        if self.before is None:
            return False
        self.placed, self.before = self.before, None
        return True


class OldSystems(NoSystems):
    """Systems that can be built with the lock that is in place, and no other."""

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        if lock is not None:
            raise InvalidError("nothing builds with a lock")


@pytest.fixture
def inputs() -> Inputs:
    return Inputs(a_lock(nixpkgs="a"), a_lock(nixpkgs="b"))


@pytest.fixture
async def bench(tmp_path: Path, inputs: Inputs) -> AsyncIterator[Bench]:
    async with a_bench(tmp_path, inputs=inputs) as bench:
        await bench.spawn()
        yield bench


def test_a_change_names_each_input_and_what_it_moves_to() -> None:
    old, new = a_lock(nixpkgs="a", gone="c"), a_lock(nixpkgs="b", fresh="d")
    assert list(changes(old, new)) == [
        "fresh: nothing → dddddddddddd of 2023-11-14",
        "gone: cccccccccccc of 2023-11-14 → nothing",
        "nixpkgs: aaaaaaaaaaaa of 2023-11-14 → bbbbbbbbbbbb of 2023-11-14",
    ]
    assert list(changes(old, old)) == []
    assert list(changes("", a_lock(nixpkgs="a"))) == [
        "nixpkgs: nothing → aaaaaaaaaaaa of 2023-11-14"
    ]


def test_what_a_lock_says_cannot_hide_in_what_is_shown() -> None:
    shown = difference(a_lock(nixpkgs="a"), a_lock(nixpkgs="\u202e"))
    assert "\u202e" not in shown
    assert "\\u202e" in shown


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"nodes": 3}', '{"nodes": {"a": 1}}'])
def test_what_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="lock of the flake is none"):
        list(changes(text, a_lock(nixpkgs="a")))


async def test_who_asks_with_the_operators_authority_is_in_the_audit_log(bench: Bench) -> None:
    for actor in (QUEEN, THE_OPERATOR):
        await bench.updating.request(actor, via="admin")

    found = await bench.desk.store.read(lambda asking: audit.search(asking, before=None, limit=9))
    verbs = [(each["actor"], each["via"], each["verb"]) for each in found]
    assert ("operator", "admin", "request_input_update") in verbs
    assert [verb for *_, verb in verbs].count("request_input_update") == 1


@promise("N10")
async def test_the_lock_that_was_shown_is_put_in_place_and_agents_come_up_with_it(
    bench: Bench, inputs: Inputs
) -> None:
    async with Boxes(bench).running("carol") as boxes:
        asked = await bench.updating.request(QUEEN)
        shown = (await bench.approvals.show(asked["id"]))["shown"]
        inputs.newest = a_lock(nixpkgs="c")
        assert inputs.placed == a_lock(nixpkgs="a")
        done = await bench.approve(asked["id"])

    assert "aaaaaaaaaaaa of 2023-11-14 → bbbbbbbbbbbb" in shown["details"]
    assert '+        "rev": "bbbb' in shown["payload"]["diff"]
    assert done["state"] == "done", done
    assert (inputs.placed, inputs.before) == (a_lock(nixpkgs="b"), None)
    assert [name for name, _ in boxes.started] == ["carol", "carol"]


@promise("N10")
async def test_inputs_with_which_an_agent_does_not_come_up_are_put_back(
    bench: Bench, inputs: Inputs
) -> None:
    boxes = Boxes(bench)
    async with boxes.running("carol"):
        asked = await bench.updating.request(QUEEN)
        boxes.refused.add("sings")
        failed = await bench.approve(asked["id"])
    assert failed["state"] == "failed"
    assert "carol: it exited with status 1" in failed["error"]
    assert inputs.placed == a_lock(nixpkgs="a")


@promise("N10")
async def test_inputs_with_which_a_system_cannot_be_built_are_never_put_in_place(
    tmp_path: Path, inputs: Inputs
) -> None:
    async with a_bench(tmp_path, inputs=inputs, systems=OldSystems()) as bench:
        await bench.spawn()
        async with Boxes(bench).running("carol") as boxes:
            asked = await bench.updating.request(QUEEN)
            failed = await bench.approve(asked["id"])

    assert failed["state"] == "failed"
    assert "nothing builds with a lock" in failed["error"]
    assert inputs.placed == a_lock(nixpkgs="a")
    assert [name for name, _ in boxes.started] == ["carol"]


async def test_a_lock_that_changed_since_it_was_shown_is_not_replaced(
    bench: Bench, inputs: Inputs
) -> None:
    asked = await bench.updating.request(QUEEN)
    inputs.placed = a_lock(nixpkgs="c")
    failed = await bench.approve(asked["id"])
    assert (failed["state"], inputs.placed) == ("failed", a_lock(nixpkgs="c"))
    assert "have changed since" in failed["error"]


async def test_the_newest_inputs_are_not_asked_for(bench: Bench, inputs: Inputs) -> None:
    inputs.newest = inputs.placed
    with pytest.raises(ConflictError, match="newest already"):
        await bench.updating.request(THE_OPERATOR)


async def test_one_looks_for_inputs_at_a_time(
    bench: Bench, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asyncio.Event()

    async def slowly() -> str:
        await found.wait()
        return inputs.newest

    monkeypatch.setattr(inputs, "newer", slowly)
    first = asyncio.create_task(bench.updating.request(QUEEN))
    await asyncio.sleep(0)
    with pytest.raises(ConflictError, match="looks for newer inputs now"):
        await bench.updating.request(THE_OPERATOR)
    found.set()
    assert (await first)["state"] == "pending"


async def test_a_worker_does_not_ask_for_inputs(bench: Bench) -> None:
    with pytest.raises(ForbiddenError, match="Only the manager"):
        await bench.updating.request(actors.agent("alice"))


@promise("A8")
@pytest.mark.parametrize("placed", [False, True])
async def test_an_update_cut_short_is_settled_by_what_is_in_place(
    bench: Bench, inputs: Inputs, placed: bool
) -> None:
    asked = await bench.updating.request(QUEEN)
    row = await bench.desk.store.read(lambda asking: approval_rows.find(asking, asked["id"]))
    assert row is not None
    if placed:
        inputs.placed = inputs.newest
    result = await bench.updating.settle(approval_rows.approved(row))
    assert (result is not None) is placed


class Dying(Inputs):
    """Inputs whose server dies: before a lock is on trial, while it is, or once it is kept."""

    def __init__(self, inputs: Inputs, when: str) -> None:
        super().__init__(inputs.placed, inputs.newest)
        self._when = when

    async def try_out(self, lock: str) -> None:
        if self._when == "before":
            raise asyncio.CancelledError
        await super().try_out(lock)
        if self._when == "on trial":
            raise asyncio.CancelledError

    async def keep(self) -> None:
        await super().keep()
        raise asyncio.CancelledError


@promise("A8", "N10")
@pytest.mark.parametrize("when", ["before", "on trial", "kept"])
async def test_an_update_whose_server_dies_is_over_at_the_next_start_and_not_run_again(
    tmp_path: Path, inputs: Inputs, when: str
) -> None:
    dying = Dying(inputs, when)
    async with a_bench(tmp_path, inputs=dying) as bench:
        asked = await bench.updating.request(QUEEN)
        with pytest.raises(asyncio.CancelledError):
            await bench.approve(asked["id"])
        assert (await bench.approvals.show(asked["id"]))["state"] == "running"

        await Carrying(bench.desk.store, bench.approvals).settle()

        shown = await bench.approvals.show(asked["id"])
        assert shown["state"] == ("done" if when == "kept" else "failed")
        assert dying.placed == (inputs.newest if when == "kept" else a_lock(nixpkgs="a"))
        assert dying.before is None


@promise("N10")
async def test_two_updates_that_were_approved_at_once_are_tried_one_after_the_other(
    bench: Bench, inputs: Inputs
) -> None:
    first = await bench.updating.request(QUEEN)
    inputs.newest = a_lock(nixpkgs="c")
    second = await bench.updating.request(THE_OPERATOR)
    async with Boxes(bench).running("carol"):
        numbers = [asked["id"] for asked in (first, second)]
        for number in numbers:
            digest = (await bench.approvals.show(number))["digest"]
            await bench.approvals.approve(THE_OPERATOR, number, digest, via="test")
        await asyncio.gather(*map(bench.carrying.carry, numbers))
        ended = [await bench.approvals.show(number) for number in numbers]

    assert [each["state"] for each in ended] == ["done", "failed"]
    assert "have changed since" in ended[1]["error"]
    assert inputs.placed == a_lock(nixpkgs="b")


async def test_a_hive_without_a_flake_says_so(tmp_path: Path) -> None:
    for port in (NoInputs(), FlakeInputs(tmp_path)):
        assert not await port.put_back()
        for call in (port.lock(), port.newer(), port.try_out("{}"), port.keep()):
            with pytest.raises(ConflictError, match="no agent of this hive is built from a flake"):
                await call


def a_flake(directory: Path) -> FlakeInputs:
    """Write a flake whose one input is a directory beside it."""
    other = directory / "other"
    other.mkdir()
    (other / "flake.nix").write_text("{ outputs = _: { }; }")
    flake = directory / "flake"
    flake.mkdir()
    (flake / "flake.nix").write_text(
        f'{{ inputs.other.url = "path:{other}"; outputs = _: {{ }}; }}'
    )
    return FlakeInputs(flake, ("--store", str(directory / "store"), "--offline"))


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@needs_nix
async def test_nix_locks_in_a_copy_and_what_is_in_place_stays(tmp_path: Path) -> None:
    flake = a_flake(tmp_path)
    first = await flake.newer()
    assert await flake.lock() == ""
    await flake.try_out(first)
    await flake.keep()
    assert await flake.newer() == first

    (tmp_path / "other" / "more.nix").write_text("{ }")
    second = await flake.newer()

    assert [line.split(":")[0] for line in changes(first, second)] == ["other"]
    assert await flake.lock() == first
    assert entries(tmp_path) == ["flake", "other", "store"]
    assert entries(tmp_path / "flake") == ["flake.lock", "flake.nix"]


async def test_a_lock_on_trial_is_put_back_by_whoever_finds_it(tmp_path: Path) -> None:
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake" / "flake.nix").write_text("{ }")
    await FlakeInputs(tmp_path / "flake").try_out("first")
    assert await FlakeInputs(tmp_path / "flake").put_back()
    assert entries(tmp_path / "flake") == ["flake.nix"]

    for lock in ("first", "second"):
        await FlakeInputs(tmp_path / "flake").try_out(lock)
        await FlakeInputs(tmp_path / "flake").keep()
    await FlakeInputs(tmp_path / "flake").try_out("third")
    assert entries(tmp_path) == ["flake", "flake.lock.before"]
    assert await FlakeInputs(tmp_path / "flake").put_back()

    assert await FlakeInputs(tmp_path / "flake").lock() == "second"
    assert not await FlakeInputs(tmp_path / "flake").put_back()
    assert entries(tmp_path) == ["flake"]


@needs_nix
async def test_what_nix_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    flake = a_flake(tmp_path)
    shutil.rmtree(tmp_path / "other")
    with pytest.raises(UnavailableError, match=r"cannot be found: .*other.* No such file"):
        await flake.newer()


async def test_nix_is_asked_with_an_environment_of_the_hives_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "nix"
    fake.write_text(f'#!/bin/sh\n{{ env; echo "$@"; }} >{tmp_path}/told\nexit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("NIX_CONFIG", "plugin-files = /evil")
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake" / "flake.nix").write_text("{ }")
    with pytest.raises(HiveError, match="it ended with status 3"):
        await FlakeInputs(tmp_path / "flake").newer()
    told = (tmp_path / "told").read_text()
    assert "flake lock path:" in told
    assert "NIX_CONFIG" not in told
