"""From the declaration to boxes: what runs, in which box, and whose restart a change is."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hyperhive.domain.confinement import BUBBLEWRAP, PROCESS
from hyperhive.reconcile.specs import box_specs
from tests.builders import a_hive


def digests(tmp_path: Path, **agents: Mapping[str, object]) -> dict[str, str]:
    found = box_specs(a_hive(tmp_path, tmp_path / "run", **agents))  # type: ignore[arg-type]  # names are keywords
    return {name: spec.digest for name, spec in found.items()}


def test_an_agent_whose_box_cannot_be_made_here_is_not_run_in_less_of_one(tmp_path: Path) -> None:
    hive = a_hive(tmp_path, tmp_path / "run", alice={"runtime": "bubblewrap"})

    assert set(box_specs(hive, [PROCESS])) == {"queen", "bob"}
    kinds = {name: spec.confinement.kind for name, spec in box_specs(hive).items()}
    assert kinds == {"queen": PROCESS, "alice": BUBBLEWRAP, "bob": PROCESS}


def test_an_agent_that_is_not_enabled_has_no_box(tmp_path: Path) -> None:
    hive = a_hive(tmp_path, tmp_path / "run", alice={"enable": False})

    assert set(box_specs(hive)) == {"queen", "bob"}


def test_a_container_runs_what_its_guest_says_and_another_system_is_another_box(
    tmp_path: Path,
) -> None:
    hive = a_hive(tmp_path, tmp_path / "run", alice={"runtime": "nixos-container"})

    before, after = (box_specs(hive, systems={"alice": system})["alice"] for system in ("a", "b"))
    assert before.argv == ()
    assert before.digest != after.digest
    assert box_specs(hive)["bob"].digest == box_specs(hive, systems={"alice": "b"})["bob"].digest


CHANGES: dict[str, Mapping[str, object]] = {
    "model": {"driver": {"kind": "command", "command": ["true"], "model": "large"}},
    "command": {"driver": {"kind": "command", "command": ["false"]}},
    "system prompt": {"systemPrompt": "Be brief."},
    "environment": {"environment": {"LANG": "C"}},
    "runtime": {"runtime": "bubblewrap"},
    "network": {"network": "none"},
    "memory": {"limits": {"memory": "1G"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_an_agent_is_a_change_of_its_box_and_of_no_other(
    tmp_path: Path, what: str
) -> None:
    before, after = digests(tmp_path), digests(tmp_path, alice=CHANGES[what])

    assert {name for name in before if before[name] != after[name]} == {"alice"}


@pytest.mark.parametrize(
    "settings",
    [
        {"description": "new"},
        {"limits": {"spendPerDayUsd": 3.0}},
        {"mayMessage": ["queen"]},
        {"restart": {"crashLimit": 2}},
    ],
    ids=["description", "money", "who it writes to", "restart rules"],
)
def test_what_the_server_alone_acts_on_restarts_nobody(
    tmp_path: Path, settings: Mapping[str, object]
) -> None:
    assert digests(tmp_path, alice=settings) == digests(tmp_path)
