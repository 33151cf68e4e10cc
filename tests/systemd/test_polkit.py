"""What systemd does for the server's user, and what it refuses: polkit with the module's rule."""

from collections.abc import Iterator

import pytest

from tests.systemd.hives import Host, unit_of
from tests.systemd.machines import Done, await_that

pytestmark = pytest.mark.xdist_group("systemd-bare")

BOB = unit_of("bob")
EVIL = "container@h-evil.service"
TEMPLATE = "/etc/systemd/system/container@.service"
REFUSED = ("Interactive authentication required", "Access denied")
MANAGER = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
GAINED = "/root/gained"
_TOUCH = ("1", "/usr/bin/touch", "2", "touch", GAINED, "false")
_SIGNATURE = "ssa(sv)a(sa(sv))"


@pytest.fixture(scope="module")
def bob_runs(bare: Host) -> Iterator[None]:
    bare.machine.run("systemctl", "start", BOB)
    yield
    bare.machine.run("systemctl", "stop", BOB)


def as_server(bare: Host, *command: str) -> Done:
    return bare.machine.try_to(*command, user="hyperhive")


def asked(bare: Host, verb: str, unit: str, *options: str) -> Done:
    return as_server(bare, "systemctl", "--no-ask-password", *options, verb, unit)


def made_up(unit: str) -> tuple[str, ...]:
    """Ask for a unit that is made up on the spot and runs a program as root."""
    wish = ("StartTransientUnit", _SIGNATURE, unit, "replace", "1", "ExecStart", "a(sasb)", *_TOUCH)
    return ("busctl", "call", *MANAGER, *wish, "0")


def is_refused(done: Done) -> bool:
    return done.status != 0 and any(words in done.said for words in REFUSED)


def test_the_server_may_start_restart_and_stop_a_container_of_its_agents(bare: Host) -> None:
    for verb, state in (("start", "active"), ("restart", "active"), ("stop", "inactive")):
        assert asked(bare, verb, BOB).status == 0
        assert bare.property(BOB, "ActiveState") == state


@pytest.mark.parametrize(
    "verb", ["reload", "try-restart", "reload-or-restart", "kill", "reset-failed", "freeze", "mask"]
)
@pytest.mark.usefixtures("bob_runs")
def test_no_other_verb_is_allowed(bare: Host, verb: str) -> None:
    done = asked(bare, verb, BOB)

    assert is_refused(done), done.said


@pytest.mark.usefixtures("bob_runs")
def test_no_property_of_a_container_can_be_set(bare: Host) -> None:
    wish = ("set-property", "--runtime", BOB, "MemoryMax=1G")
    assert is_refused(as_server(bare, "systemctl", "--no-ask-password", *wish))


@pytest.mark.parametrize(
    "unit",
    [
        "dbus.service",
        "hyperhive.service",
        "container@other.service",
        "container@h-bob.socket",
        "container@h-bob.timer",
        "container@h-Bob.service",
        "container@h-bob.target",
        "xcontainer@h-bob.service",
        "poweroff.target",
    ],
)
def test_no_other_unit_can_be_started(bare: Host, unit: str) -> None:
    assert is_refused(asked(bare, "start", unit))


def test_root_can_make_a_unit_up(bare: Host) -> None:
    """What the tests below ask for is a thing that systemd does for whom it may."""
    bare.machine.run(*made_up("control.service"))

    await_that(bare.machine.path(GAINED).exists, "the made-up unit has run")
    bare.machine.path(GAINED).unlink()


@pytest.mark.parametrize("unit", [EVIL, "other.service", BOB])
def test_the_server_can_make_no_unit_up(bare: Host, unit: str) -> None:
    done = as_server(bare, *made_up(unit))

    assert is_refused(done), done.said
    assert not bare.machine.path(GAINED).exists()


def test_the_server_can_make_no_unit_up_where_the_template_is_absent(bare: Host) -> None:
    bare.machine.run("mv", TEMPLATE, "/root/template")
    bare.machine.run("systemctl", "daemon-reload")
    try:
        done = as_server(bare, *made_up(EVIL))
        started = asked(bare, "start", EVIL)
    finally:
        bare.machine.run("mv", "/root/template", TEMPLATE)
        bare.machine.run("systemctl", "daemon-reload")

    assert is_refused(done), done.said
    assert "not found" in started.said
    assert not bare.machine.path(GAINED).exists()


def test_a_container_that_is_not_configured_does_not_start(bare: Host) -> None:
    done = asked(bare, "start", EVIL)

    assert done.status != 0
    assert bare.property(EVIL, "ActiveState") != "active"


@pytest.mark.parametrize(
    "command",
    [
        ("systemctl", "--no-ask-password", "daemon-reload"),
        ("systemctl", "--no-ask-password", "poweroff"),
        ("machinectl", "--no-ask-password", "terminate", "h-bob"),
        ("machinectl", "--no-ask-password", "shell", "h-bob"),
        ("systemd-run", "--no-ask-password", "--unit=anything.service", "touch", GAINED),
    ],
    ids=lambda command: f"{command[0]}-{command[2]}",
)
@pytest.mark.usefixtures("bob_runs")
def test_nothing_else_is_allowed(bare: Host, command: tuple[str, ...]) -> None:
    done = as_server(bare, *command)

    assert is_refused(done), done.said


def test_nobody_else_may_start_a_container(bare: Host) -> None:
    other = unit_of("alice")
    done = bare.machine.try_to("systemctl", "--no-ask-password", "start", other, user="stranger")

    assert is_refused(done), done.said
    assert bare.property(other, "ActiveState") == "inactive"
