"""What the containers reach: the world, of the host only what is listed, never each other."""

import ipaddress
from typing import Final

import pytest

from pytest_nixos import Evaluated, Evaluator
from tests.nix.hives import MODULE, hive, small

SUBNET: Final = ipaddress.ip_network("10.229.0.0/16")


def test_a_container_has_a_network_of_its_own_and_a_fixed_address(little: Evaluated) -> None:
    containers = little.value("containers")
    addresses = {one["localAddress"] for one in containers.values()}

    assert len(addresses) == len(containers) == 3
    assert all(ipaddress.ip_address(one) in SUBNET for one in addresses)
    assert {one["hostAddress"] for one in containers.values()} == {"10.229.0.1"}
    assert {one["privateNetwork"] for one in containers.values()} == {True}


def test_an_address_stays_whoever_comes_and_goes(nixos_eval: Evaluator, little: Evaluated) -> None:
    cat = {"driver": {"kind": "command", "command": ["cat"]}}

    more = hive(nixos_eval, small(agents={"aaron": cat, "zoe": cat, "bob": {"enable": False}}))

    for name in ("queen", "alice"):
        place = f"containers.h-{name}.localAddress"
        assert more.value(place) == little.value(place)


def test_an_address_that_is_set_counts(example: Evaluated) -> None:
    assert example.value("containers.h-alice.localAddress") == "10.229.7.7"


def test_every_derived_address_is_usable(nixos_eval: Evaluator) -> None:
    names = [f"a{number}" for number in range(200)]
    text = f"""
    {{ lib, ... }}:
    let addresses = import {MODULE.parent / "addresses.nix"} {{ inherit lib; }};
    in {{ warnings = map (addresses.derive "192.168.7.16/28") [ {" ".join(map(repr, names))} ]; }}
    """.replace("'", '"')

    found = nixos_eval([], text)

    usable = {str(one) for one in ipaddress.ip_network("192.168.7.16/28").hosts()}
    assert set(found.warnings) == usable - {"192.168.7.17"}


def test_an_agent_without_network_has_no_address(example: Evaluated) -> None:
    bob = example.value("containers.h-bob")

    assert bob["privateNetwork"] is True
    assert not {"localAddress", "hostAddress"} & set(bob)


def test_an_agent_on_the_hosts_network_is_said_to_be(nixos_eval: Evaluator) -> None:
    found = hive(nixos_eval, small(agents={"bob": {"network": "host"}}))

    assert found.value("containers.h-bob.privateNetwork") is False
    guest = found.inside("containers.h-bob.config").unit("hyperhive-agent.service")
    assert 'Environment="HYPERHIVE_OPERATOR=127.0.0.1:7700"' in guest.text


def test_the_containers_reach_the_world_behind_nat(nixos_eval: Evaluator) -> None:
    found = hive(nixos_eval, small(network={"externalInterface": "eth0"}))

    assert found.value("networking.nat") == {
        "enable": True,
        "externalInterface": "eth0",
        "internalIPs": ["10.229.0.0/16"],
    }


def test_every_port_of_the_host_is_closed_but_those_listed(example: Evaluated) -> None:
    assert verdicts(example) == [
        "-i ve-h-+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-i ve-h-+ -p tcp --dport 3100 -j ACCEPT",
        "-i ve-h-+ -p tcp --dport 7780 -j ACCEPT",
        "-i ve-h-+ -j DROP",
    ]


def test_opening_the_operators_port_does_not_open_it_to_containers(nixos_eval: Evaluator) -> None:
    opened = {"openFirewall": True, "address": "0.0.0.0", "port": 7701}

    found = hive(nixos_eval, small(operator=opened))

    assert found.value("networking.firewall.allowedTCPPorts") == [7701]
    assert verdicts(found)[-1] == "-i ve-h-+ -j DROP"
    assert not [rule for rule in verdicts(found) if "7701" in rule]


def test_nothing_is_opened_unless_asked_for(little: Evaluated) -> None:
    assert little.value("networking.firewall.allowedTCPPorts") == []


def test_containers_do_not_reach_each_other(little: Evaluated) -> None:
    lines = little.value("networking.firewall.extraCommands").splitlines()
    stop = little.value("networking.firewall.extraStopCommands")

    assert "ip46tables -I FORWARD 1 -i ve-h-+ -o ve-h-+ -j DROP" in lines
    assert stop.startswith("ip46tables -D FORWARD -i ve-h-+ -o ve-h-+ -j DROP")


def test_nftables_says_the_same(nixos_eval: Evaluator) -> None:
    config = {"networking": {"nftables": {"enable": True}}}

    found = hive(nixos_eval, {**small(network={"hostUDPPorts": [53]}), **config})

    table = found.value("networking.nftables.tables.hyperhive")
    rules = [line.strip() for line in table["content"].splitlines() if "iifname" in line]
    assert table["family"] == "inet"
    assert rules == [
        'iifname "ve-h-*" ct state { established, related } accept',
        'iifname "ve-h-*" udp dport { 53 } accept',
        'iifname "ve-h-*" drop',
        'iifname "ve-h-*" oifname "ve-h-*" drop',
    ]
    assert "udp dport { 53 } accept" in found.value("networking.firewall.extraInputRules")
    assert found.value("networking.firewall.extraCommands") == ""


def test_containers_have_the_hosts_name_servers(nixos_eval: Evaluator) -> None:
    config = {"networking": {"nameservers": ["192.0.2.53"]}}

    inside = hive(nixos_eval, {**small(), **config}).inside("containers.h-bob.config")

    assert inside.value("networking.nameservers") == ["192.0.2.53"]
    assert inside.value("networking.useHostResolvConf") is False


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("127.0.0.1", "10.229.0.1:7700"),
        ("0.0.0.0", "10.229.0.1:7700"),
        ("192.0.2.7", "192.0.2.7:7700"),
        ("2001:db8::1", "[2001:db8::1]:7700"),
    ],
)
def test_the_probe_tries_the_page_where_a_container_would_find_it(
    address: str, reached: str, nixos_eval: Evaluator
) -> None:
    found = hive(nixos_eval, small(operator={"address": address}))

    unit = found.inside("containers.h-bob.config").unit("hyperhive-agent.service")

    assert f'Environment="HYPERHIVE_OPERATOR={reached}"' in unit.text


def test_a_hive_without_private_networks_leaves_the_hosts_alone(nixos_eval: Evaluator) -> None:
    none = {name: {"network": "none"} for name in ("queen", "alice", "bob")}

    found = hive(nixos_eval, small(agents=none))

    assert found.value("networking.nat.enable") is False
    assert found.value("networking.firewall.extraCommands") == ""


def test_agents_that_come_at_run_time_have_the_walls_of_a_private_network(
    nixos_eval: Evaluator,
) -> None:
    agents = {
        "queen": {"network": "host"}, "alice": {"network": "host"}, "bob": {"network": "none"},
    }  # fmt: skip

    found = hive(nixos_eval, small(agents=agents))
    alone = hive(nixos_eval, small(agents=agents, spawned={"enable": False}))

    assert found.value("networking.nat.enable") is True
    assert verdicts(found)[-1] == "-i ve-h-+ -j DROP"
    assert alone.value("networking.nat.enable") is False


def verdicts(found: Evaluated) -> list[str]:
    """Give the rules for what comes from a container, in the order in which they count.

    Each is put before those that were there, so the last one written is the first that counts.
    """
    lines = found.value("networking.firewall.extraCommands").splitlines()
    put_first = "ip46tables -I nixos-fw 1 "
    return [line.removeprefix(put_first) for line in reversed(lines) if line.startswith(put_first)]
