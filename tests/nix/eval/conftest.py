"""Machines that many tests ask about: each is evaluated once."""

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import EXAMPLE, HIVE, hive, small

WANT = (
    f"{HIVE}.agents",
    f"{HIVE}.declaration",
    "boot.enableContainers",
    *(f"containers.h-{name}.extraFlags" for name in ("queen", "alice", "bob")),
    "environment.systemPackages",
    "networking.firewall.allowedTCPPorts",
    "networking.firewall.extraCommands",
    "networking.firewall.extraStopCommands",
    "security.polkit.enable",
    "security.polkit.extraConfig",
    "systemd.mounts",
    "systemd.tmpfiles.settings",
)
"""What many tests look at: evaluated in the same run of Nix."""


@pytest.fixture(scope="session")
def example(nixos_eval: Evaluator) -> Evaluated:
    """The hive that uses most of what can be said."""
    return hive(nixos_eval, EXAMPLE.read_text(), want=WANT)


@pytest.fixture(scope="session")
def little(nixos_eval: Evaluator) -> Evaluated:
    """A manager and two workers, with every default."""
    return hive(nixos_eval, small(), want=WANT)
