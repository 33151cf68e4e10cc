"""What cannot work together stops the switch, with a sentence that says what to set."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hyperhive.domain.actors import RESERVED_NAMES, name_fault
from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import MODULE, hive, merged, small

CAT: Final = {"kind": "command", "command": ["cat"]}

FAULTS: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any], str]]] = {
    "no manager": (
        {"agents": {"queen": {"role": "worker"}}},
        {},
        'Set services.hyperhive.agents.<name>.role = "manager" for one of: alice, bob, queen.',
    ),
    "two managers": (
        {"agents": {"bob": {"role": "manager"}}},
        {},
        "A hive has one manager, and bob, queen are to be it.",
    ),
    "a reserved name": (
        {"agents": {"admin": {"driver": CAT}}},
        {},
        'The agent "admin" cannot bear that name: the name is reserved.',
    ),
    "a name too long for its container": (
        {"agents": {"twelve-chars": {"driver": CAT}}},
        {},
        "a name has 2 to 11 characters, because its container's network interface",
    ),
    "a name with a capital": ({"agents": {"Bob": {"driver": CAT}}}, {}, "lower-case letters"),
    "a name with a double hyphen": ({"agents": {"a--b": {"driver": CAT}}}, {}, "no double hyphen"),
    "an unfree driver": (
        {"agents": {"bob": {"driver": {"kind": "claude", "command": []}}}},
        {},
        "Set services.hyperhive.allowUnfree = true, or services.hyperhive.agents.bob.driver.pack",
    ),
    "a script that is missing": (
        {"agents": {"bob": {"driver": {"kind": "scripted", "command": []}}}},
        {},
        "Set services.hyperhive.agents.bob.driver.script.",
    ),
    "a script that nobody plays": (
        {"agents": {"bob": {"driver": {"script": "/etc/bob.json"}}}},
        {},
        "Remove services.hyperhive.agents.bob.driver.script",
    ),
    "a command that is missing": (
        {"agents": {"bob": {"driver": {"command": []}}}},
        {},
        "Set services.hyperhive.agents.bob.driver.command.",
    ),
    "a user with the hive's number": (
        {},
        {"users": {"users": {"mallory": {"uid": 770}}}},
        "Set services.hyperhive.uid to one that is free.",
    ),
    "a group with the hive's number": (
        {},
        {"users": {"groups": {"wheelers": {"gid": 770}}}},
        "The group wheelers has the number 770",
    ),
    "the same address twice": (
        {"agents": {"alice": {"address": "10.229.1.1"}, "bob": {"address": "10.229.1.1"}}},
        {},
        "Set services.hyperhive.agents.bob.address to another one within 10.229.0.0/16.",
    ),
    "names that come to the same address": (
        {"network": {"subnet": "10.1.0.0/30"}, "agents": {"queen": {"network": "none"}}},
        {},
        "The agents alice and bob both have the address 10.1.0.2.",
    ),
    "an address outside the network": (
        {"agents": {"bob": {"address": "10.230.0.9"}}},
        {},
        "services.hyperhive.agents.bob.address is 10.230.0.9, which is no address for a container.",
    ),
    "the host's address": (
        {"agents": {"bob": {"address": "10.229.0.1"}}},
        {},
        "Set it to one within 10.229.0.0/16 other than the host's 10.229.0.1.",
    ),
    "an address that is none": (
        {"agents": {"bob": {"address": "10.229.0.256"}}},
        {},
        "bob.address is 10.229.0.256",
    ),
    "a network that is none": (
        {"network": {"subnet": "10.229.0.0"}},
        {},
        "Set it to one such as 10.229.0.0/16, with 8 to 30 bits.",
    ),
    "a network that begins elsewhere": (
        {"network": {"subnet": "10.229.1.0/16"}},
        {},
        "services.hyperhive.network.subnet is 10.229.1.0/16",
    ),
    "no firewall for those that come at run time": (
        {"agents": {name: {"network": "host"} for name in ("queen", "alice", "bob")}},
        {"networking": {"firewall": {"enable": False}}},
        "Set networking.firewall.enable = true, or services.hyperhive.spawned.enable = false",
    ),
    "no firewall": (
        {},
        {"networking": {"firewall": {"enable": False}}},
        "Set networking.firewall.enable = true, or services.hyperhive.agents.<name>.network",
    ),
    "the operator's port open to agents": (
        {"network": {"hostTCPPorts": [7700]}},
        {},
        "services.hyperhive.network.hostTCPPorts opens the operator's port 7700 to the agents",
    ),
    "no containers": (
        {},
        {"boot": {"enableContainers": False}},
        "Set boot.enableContainers = true",
    ),
    "a machine that keeps containers elsewhere": (
        {},
        {"system": {"stateVersion": "21.11"}},
        'With system.stateVersion = "21.11" NixOS keeps the settings of containers where',
    ),
    "an old kernel": (
        {},
        {"boot": {"kernelPackages": {"kernel": {"version": "6.1.100"}}}},
        "The kernel is 6.1.100",
    ),
    "somebody else's container under our prefix": (
        {},
        {"containers": {"h-web": {"config": {}}}},
        "The container h-web bears a name that the hive's server may start and stop.",
    ),
    "no Nix to build spawned agents": (
        {},
        {"nix": {"enable": False}},
        "Set nix.enable = true, or services.hyperhive.spawned.enable = false.",
    ),
    "a Nix that the server may not ask": (
        {},
        {"nix": {"settings": {"allowed-users": ["@wheel"]}}},
        'Add "hyperhive" to nix.settings.allowed-users',
    ),
    "a state directory that honours setuid": (
        {},
        {"fileSystems": {"/var/lib/hyperhive": {"device": "/dev/sdb1", "fsType": "ext4"}}},
        'Add "nosuid" to fileSystems."/var/lib/hyperhive".options.',
    ),
    "a state directory on a network": (
        {},
        {
            "fileSystems": {
                "/var/lib/hyperhive": {"fsType": "nfs4", "options": ["nosuid"], "device": "n:/h"}
            }
        },
        "which can neither map users nor hold the database.",
    ),
    "a state directory below one on a network": (
        {},
        {
            "fileSystems": {
                "/": {"fsType": "ext4"},
                "/var": {"fsType": "nfs4", "device": "n:/var"},
                "/var/lib/hyper": {"fsType": "ext4"},
            }
        },
        "/var/lib/hyperhive is on a file system of the type nfs4",
    ),
    "a state directory that cannot be mounted": (
        {"stateDir": "/var/lib/my hive"},
        {},
        'The path "/var/lib/my hive" cannot be mounted into a container.',
    ),
    "a bind that cannot be mounted": (
        {"agents": {"bob": {"binds": [{"hostPath": "/srv/a:b", "mountPoint": "/data"}]}}},
        {},
        'The path "/srv/a:b" in services.hyperhive.agents.bob.binds cannot be mounted',
    ),
    "a script that cannot be mounted": (
        {"agents": {"bob": {"driver": {"kind": "scripted", "command": [], "script": "/etc/a b"}}}},
        {},
        "The path in services.hyperhive.agents.bob.driver.script cannot be mounted",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_stops_the_switch_and_says_what_to_set(fault: str, nixos_eval: Evaluator) -> None:
    ours, nixos, message = FAULTS[fault]

    found = hive(nixos_eval, merged(nixos, small(**ours)))

    assert [message in in_one_line(one) for one in found.failed] == [True]


def test_a_hive_without_faults_may_be_switched_to(little: Evaluated, example: Evaluated) -> None:
    assert (little.failed, example.failed, little.warnings, example.warnings) == ([], [], [], [])


def test_a_module_that_is_not_enabled_changes_nothing(nixos_eval: Evaluator) -> None:
    found = hive(nixos_eval, small(enable=False, agents={"admin": {"driver": CAT}}))

    assert (found.failed, set(found.units), found.value("containers")) == ([], set(), {})
    assert not found.users
    assert not found.value("networking.nat.enable")


def test_the_module_and_the_server_refuse_the_same_names(nixos_eval: Evaluator) -> None:
    names = ["a", "ab", "eleven-char", "twelve-chars", "9a", "a-", "a--b", "a_b", *RESERVED_NAMES]
    text = f"""
    {{ lib, ... }}:
    let names = import {MODULE.parent / "names.nix"} {{ inherit lib; }};
    in {{
      warnings = lib.filter (name: names.fault name != null)
        [ {" ".join(f'"{name}"' for name in names)} ];
    }}
    """

    found = nixos_eval([], text)

    assert found.warnings == [name for name in names if name_fault(name)]


@pytest.mark.parametrize(
    ("ours", "nixos", "warning"),
    [
        ({"operator": {"openFirewall": True}}, {}, "but the page listens on 127.0.0.1 only"),
        ({"agents": {"bob": {"network": "host"}}}, {}, "the operator's page included"),
        (
            {
                "agents": {
                    "alice": {"credentials": {"KEY": "/run/secrets/one"}},
                    "bob": {"credentials": {"KEY": "/run/secrets/one"}},
                }
            },
            {},
            "The secret /run/secrets/one is given to more than one.",
        ),
        ({}, {"services": {"resolved": {"enable": True}}}, "the host's own loopback"),
        ({"network": {"nameservers": ["127.0.0.1"]}}, {}, "the host's own loopback"),
    ],
)
def test_what_works_but_costs_is_a_warning(
    ours: dict[str, Any], nixos: dict[str, Any], warning: str, nixos_eval: Evaluator
) -> None:
    found = hive(nixos_eval, merged(nixos, small(**ours)))

    assert found.failed == []
    assert [warning in in_one_line(one) for one in found.warnings] == [True]


def in_one_line(message: str) -> str:
    """Give a message without the line breaks by which Nix wraps it."""
    return " ".join(message.split())
