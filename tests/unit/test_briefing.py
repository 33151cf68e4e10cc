"""What an agent is told of itself: who it is, and where its files are in the very box it has."""

from pathlib import Path

import pytest

from hyperhive.services.briefing import system_prompt
from tests.builders import a_hive

FORGEJO = {"kind": "forgejo", "url": "http://forge", "tokenFile": "/token"}


def prompt(tmp_path: Path, name: str, runtime: str) -> str:
    box = {"runtime": runtime}
    hive = a_hive(tmp_path, tmp_path / "run", queen=box, alice=box)
    return system_prompt(hive, hive.agents[name])


def test_an_agent_in_a_box_is_told_the_paths_of_its_box(tmp_path: Path) -> None:
    for runtime in ("bubblewrap", "nixos-container"):
        said = prompt(tmp_path, "alice", runtime)
        assert "`/agents/alice/state` ($HYPERHIVE_STATE)" in said
        assert "`/shared`" in said
        assert "`/docs`" in said
        assert str(tmp_path) not in said


def test_an_agent_without_a_box_is_told_the_paths_of_the_host(tmp_path: Path) -> None:
    said = prompt(tmp_path, "alice", "process")
    assert f"`{tmp_path}/agents/alice/state`" in said
    assert f"`{tmp_path}/docs`" in said


def test_only_the_manager_is_told_where_the_others_keep_what(tmp_path: Path) -> None:
    said = prompt(tmp_path, "queen", "bubblewrap")
    assert "You can read what each of the others keeps, in `/agents/NAME/state`" in said
    assert "`/agents/NAME/config`" in said
    assert "`/applied/NAME`" in said
    assert "/applied" not in prompt(tmp_path, "alice", "bubblewrap")


@pytest.mark.parametrize(("forge", "is_named"), [({"kind": "embedded"}, False), (FORGEJO, True)])
def test_tea_is_named_where_the_forge_has_what_it_asks_for(
    tmp_path: Path, forge: dict[str, str], is_named: bool
) -> None:
    hive = a_hive(tmp_path / "state", tmp_path / "run", hive={"forge": forge})
    told = system_prompt(hive, hive.agents["alice"], "http://forge")

    assert ("`tea`" in told) is is_named
    assert "API" in told
