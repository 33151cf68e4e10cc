"""The runtime nixos-container keeps what every runtime promises, on real systemd and nspawn."""

import re

import pytest

from tests.pace import on_this_machine
from tests.systemd import contract
from tests.systemd.hives import Host

pytestmark = pytest.mark.xdist_group("systemd-bare")

SUITE_SECONDS = 200.0


def test_the_contract_of_runtimes_holds_for_containers(bare: Host) -> None:
    done = contract.run(bare.machine, on_this_machine(SUITE_SECONDS))

    assert done.status == 0, done.said
    passed = re.search(r"(\d+) passed", done.said)
    assert passed is not None
    assert int(passed[1]) >= 20
    assert "skipped" not in done.said
