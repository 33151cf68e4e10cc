"""The machines of these tests, and a skip that says what is missing.

``host`` runs a hive; ``bare`` has the same units and containers, and no server. Each boots once
for the tests of its group.
"""

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.systemd import contract, installing
from tests.systemd.hives import SECRETS, Host, demo_hive
from tests.systemd.machines import booted
from tests.systemd.rendering import TREE, evaluate, furnish


@pytest.fixture(scope="session")
def _can_boot() -> None:
    if reason := installing.why_not():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def evaluated(_can_boot: None, nixos_eval: Evaluator) -> Evaluated:
    return evaluate(nixos_eval, demo_hive())


@pytest.fixture(scope="session")
def host(evaluated: Evaluated) -> Iterator[Host]:
    def prepare(root: Path, debian: Path) -> None:
        furnish(root, debian, evaluated)
        secrets = root / SECRETS.lstrip("/")
        secrets.mkdir(mode=0o700)
        for name in ("alice", "operator"):
            (secrets / name).write_text(f"of {name}\n")
            (secrets / name).chmod(0o600)

    with booted(prepare) as machine:
        found = Host(machine)
        found.await_server()
        yield found


@pytest.fixture(scope="session")
def bare(evaluated: Evaluated) -> Iterator[Host]:
    def prepare(root: Path, debian: Path) -> None:
        furnish(root, debian, evaluated)
        contract.prepare(root, evaluated)

    shown = {TREE: contract.TREE, Path(sysconfig.get_path("purelib")): contract.PACKAGES}
    with booted(prepare, shown) as machine:
        yield Host(machine)
