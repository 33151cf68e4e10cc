"""Containers for the runtime's contract suite: the evaluated ones, with another unit in the guest.

The suite runs in the machine, as the user of the server, without a server.
"""

from pathlib import Path
from typing import Any, Final

from hyperhive.runtimes.nixos_container import HARNESS
from pytest_nixos import Evaluated
from tests.contract.test_runtime import CONTAINERS, GUEST, NEEDED
from tests.systemd import rendering
from tests.systemd.machines import Done, Machine

TREE: Final = "/tree"
PACKAGES: Final = "/python-packages"

_SUITE: Final = "tests/contract/test_runtime.py"
_PROGRAM: Final = "nix/store/00000000000000000000000000000000-guest.py"
_UNIT: Final = """[Unit]
FailureAction=exit

[Service]
User=agent
Group=agent
UMask=0007
WorkingDirectory={state}
ExecStart=/usr/bin/python3 -S -E /{program}
SyslogIdentifier={harness}
StandardOutput=journal+console
StandardError=journal+console
"""


def prepare(root: Path, found: Evaluated) -> None:
    """Have no server start, and have the guests run what the contract suite asks of boxes."""
    (root / rendering.SYSTEMD / "multi-user.target.wants/hyperhive.service").unlink()
    (root / _PROGRAM).write_text(GUEST)
    for name, container in found.value("containers").items():
        agent = name.removeprefix("h-")
        units = root / container["path"].lstrip("/") / "units"
        unit = units / "hyperhive-agent.service"
        state = f"/agents/{agent}/state"
        unit.write_text(_UNIT.format(state=state, program=_PROGRAM, harness=HARNESS))
    alice: dict[str, Any] = found.value("containers")["h-alice"]
    alice = alice | {"extraFlags": [*alice["extraFlags"], f"--bind={NEEDED}:/needed:idmap"]}
    (root / rendering.CONFIGURED / "h-alice.conf").write_text(rendering.settings_of(alice))


def run(machine: Machine, seconds: float) -> Done:
    """Run the suite and say how it went."""
    variables = {
        CONTAINERS: "1",
        "PYTHONPATH": f"{PACKAGES}:{TREE}/python/src",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    pytest = ("/usr/bin/python3", "-m", "pytest", "-c", f"{TREE}/python/pyproject.toml")
    options = ("--rootdir", TREE, "-p", "no:cacheprovider", "-n0", "-k", "nixos-container", "-q")
    return machine.try_to(
        *("setpriv", "--reuid=hyperhive", "--regid=hyperhive", "--groups=systemd-journal"),
        *("env", *(f"{name}={value}" for name, value in variables.items())),
        *(*pytest, *options, f"{TREE}/{_SUITE}"),
        seconds=seconds,
    )
