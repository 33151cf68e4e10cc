"""What a box's look at itself means, without a box."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import BUBBLEWRAP, NIXOS_CONTAINER, Confinement, Mount
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.isolation import OWN_NAMESPACES, differences, expected, facts, remarks

HOST = {kind: f"{kind}:[1]" for kind in (*OWN_NAMESPACES, "net", "cgroup")}


def a_spec(role: Role = Role.WORKER, **confinement: Any) -> BoxSpec:
    closed = Confinement(**{"kind": BUBBLEWRAP} | confinement)
    return BoxSpec("alice", role, ("harness",), Path("/s"), Path("/r"), confinement=closed)


def a_probe(**told: Any) -> dict[str, Any]:
    """Give what a box of `a_spec` says when all is well."""
    return {
        "uid": 1000,
        "capabilities": False,
        "may_gain_privileges": False,
        "namespaces": HOST | {kind: f"{kind}:[2]" for kind in OWN_NAMESPACES},
        "strangers": 0,
        "writable": ["/agents/alice/state", "/dev/shm", "/home/agent", "/shared", "/tmp"],
        "setuid_honoured": [],
        "docs": "read-only",
        "applied": "absent",
        "states": {},
        "homes": [],
        "secrets": [],
        "sockets": {"own": True, "others": [], "abstract": []},
        "network": {"interfaces": ["lo", "eth0"], "operator_reachable": True},
    } | told


def test_what_a_box_is_sees_and_reaches_is_told_in_sentences() -> None:
    assert facts(a_probe(states={"bob": "read-only"}), expected(a_spec(), HOST)) == (
        "It runs as user 1000 with no capability; its programs cannot gain privileges.",
        "Namespaces of its own: ipc, mnt, pid, user, uts.",
        "It can write to /agents/alice/state, /dev/shm, /home/agent, /shared, /tmp.",
        "States of others that it sees: bob (read-only).",
        "Network: lo, eth0; the operator's port can be reached.",
    )


@pytest.mark.parametrize("probe", [None, [], {"uid": "0", "writable": [1], "states": {"a": {}}}])
def test_of_what_a_box_does_not_say_nothing_is_told(probe: object) -> None:
    assert facts(probe, expected(a_spec(), HOST)) == ()


def test_a_box_that_is_as_promised_differs_in_nothing() -> None:
    assert differences(a_probe(), expected(a_spec(), HOST)) == ()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"uid": 0}, "It runs as root."),
        ({"capabilities": True}, "It has capabilities of the kernel."),
        ({"may_gain_privileges": True}, "Its programs can gain privileges."),
        ({"strangers": 3}, "It sees 3 processes that are not its own."),
        (
            {"namespaces": HOST},
            "It shares namespaces with the host: ipc, mnt, pid, user, uts.",
        ),
        ({"docs": "writable"}, "/docs should be read-only and is writable."),
        ({"applied": "read-only"}, "/applied should be absent and is read-only."),
        ({"setuid_honoured": ["/usr"]}, "It can use setuid programs in: /usr."),
        ({"states": {"bob": "read-only"}}, "It sees the state of bob."),
        ({"homes": ["/home/bob"]}, "It sees homes of others: /home/bob."),
        ({"secrets": ["/etc/shadow"]}, "It can read what is secret: /etc/shadow."),
        (
            {"sockets": {"own": True, "others": ["/run/x"]}},
            "It reaches sockets that are not its own: /run/x.",
        ),
        ({"sockets": {"own": False, "others": []}}, "It does not reach its own socket."),
    ],
)
def test_each_way_to_differ_has_a_sentence(told: dict[str, Any], sentence: str) -> None:
    assert differences(a_probe(**told), expected(a_spec(), HOST)) == (sentence,)


def test_what_can_be_written_to_is_compared_both_ways() -> None:
    probe = a_probe(writable=["/agents/alice/state", "/etc", "/home/agent", "/shared", "/tmp"])
    assert differences(probe, expected(a_spec(), HOST)) == (
        "It can write where it should not: /etc.",
        "It cannot write where it should: /dev/shm.",
    )


def test_a_mount_that_was_declared_writable_is_no_difference() -> None:
    mount = Mount(Path("/srv/x"), Path("/data"), is_read_only=False)
    probe = a_probe()
    probe["writable"].append("/data")
    assert differences(probe, expected(a_spec(mounts=(mount,)), HOST)) == ()


def test_a_manager_may_read_states_and_write_only_if_it_was_allowed_to() -> None:
    seen = {"applied": "read-only", "states": {"bob": "writable"}}
    probe = a_probe(**seen)
    probe["writable"] += ["/agents/bob/state", "/configs"]
    allowed = a_spec(Role.MANAGER, manager_writes=True)
    assert differences(probe, expected(allowed, HOST)) == ()
    assert differences(probe, expected(a_spec(Role.MANAGER), HOST)) == (
        "It can write where it should not: /agents/bob/state.",
        "It can write to the state of bob.",
    )


def test_a_box_without_a_network_must_have_none() -> None:
    found = differences(a_probe(), expected(a_spec(has_network=False), HOST))
    assert found == (
        "It shares namespaces with the host: net.",
        "It has a network and should have none.",
        "It reaches the operator's port without a network.",
    )


@pytest.mark.parametrize("key", a_probe())
def test_whatever_a_box_leaves_out_counts_as_a_difference(key: str) -> None:
    probe = a_probe()
    del probe[key]
    assert differences(probe, expected(a_spec(has_network=key != "network"), HOST)) != ()


@pytest.mark.parametrize("nonsense", [None, 1, "x", [], {}, {"sockets": 1, "states": [1]}])
def test_nonsense_is_a_difference_and_no_error(nonsense: object) -> None:
    assert differences(nonsense, expected(a_spec(), HOST)) != ()
    assert isinstance(remarks(nonsense, expected(a_spec(), HOST)), tuple)


def test_a_plain_process_is_never_otherwise_than_promised() -> None:
    spec = replace(a_spec(), confinement=Confinement())
    assert differences(None, expected(spec, HOST)) == ()


def test_the_reach_of_the_operators_page_and_a_missing_network_are_told() -> None:
    assert "its login protects it" in remarks(a_probe(), expected(a_spec(), HOST))[0]
    assert "no model" in remarks(a_probe(), expected(a_spec(has_network=False), HOST))[0]


def test_another_confinement_is_another_box() -> None:
    digests = {
        a_spec().digest,
        a_spec(kind="process").digest,
        a_spec(has_network=False).digest,
        a_spec(mounts=(Mount(Path("/a"), Path("/b")),)).digest,
        a_spec(mounts=(Mount(Path("/a"), Path("/b"), is_read_only=False),)).digest,
    }
    assert len(digests) == 5


def a_guest(**told: Any) -> dict[str, Any]:
    """Give what an agent finds in a booted guest when all is well."""
    own = a_probe()["writable"]
    system = {
        "strangers": 9,
        "writable": sorted([*own, "/var/tmp", "/dev/mqueue"]),
        "setuid_honoured": ["/", "/nix/store", "/usr"],
        "sockets": {"own": True, "others": ["/run/dbus/system_bus_socket"], "abstract": []},
    }
    return a_probe() | system | told


def test_a_guest_may_be_a_whole_system() -> None:
    promised = expected(a_spec(kind=NIXOS_CONTAINER), HOST)
    assert differences(a_guest(), promised) == ()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"uid": 0}, "It runs as root."),
        ({"may_gain_privileges": True}, "Its programs can gain privileges."),
        ({"namespaces": HOST}, "It shares namespaces with the host: ipc, mnt, pid, user, uts."),
        (
            {"setuid_honoured": ["/", "/agents/alice/state"]},
            "It can use setuid programs in: /agents/alice/state.",
        ),
        (
            {"sockets": {"own": True, "others": ["/run/x/agent.sock"], "abstract": []}},
            "It reaches sockets that are not its own: /run/x/agent.sock.",
        ),
        ({"states": {"bob": "read-only"}}, "It sees the state of bob."),
        ({"secrets": ["/etc/shadow"]}, "It can read what is secret: /etc/shadow."),
    ],
)
def test_a_guest_that_is_not_as_promised_says_how(told: dict[str, Any], sentence: str) -> None:
    promised = expected(a_spec(kind=NIXOS_CONTAINER), HOST)
    assert differences(a_guest(**told), promised) == (sentence,)


def test_a_guest_that_can_write_elsewhere_says_where() -> None:
    promised = expected(a_spec(kind=NIXOS_CONTAINER), HOST)
    probe = a_guest(writable=[*a_guest()["writable"], "/etc"])
    assert differences(probe, promised) == ("It can write where it should not: /etc.",)
