"""Whose the repositories are in which the manager proposes: its own user's, whoever that is."""

from pathlib import Path

import pytest

from hyperhive.bootstrap import hive as life
from hyperhive.runtimes.users import User
from tests.builders import a_hive


@pytest.mark.parametrize(("runtime", "owner"), [("process", None), ("bubblewrap", (4711, 4712))])
def test_proposals_belong_to_whom_the_manager_runs_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, owner: tuple[int, int] | None
) -> None:
    user = User("hyperhive", 4711, 4712, "hyperhive", dropped_to=True)
    monkeypatch.setattr(life, "user_of_boxes", lambda: user)
    hive = a_hive(tmp_path, tmp_path / "run", queen={"runtime": runtime})

    assert life.owner_of_proposals(hive) == owner
