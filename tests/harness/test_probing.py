"""What a box is like is told with the hello, and holds it up for a moment at most."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hyperhive.harness.probing import Probing
from tests.harness.conftest import StartHarness
from tests.harness.fake_server import FakeServer, a_message


@pytest.fixture
def deaf_port() -> Iterator[str]:
    """A port that takes no further connection: who connects waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield "{}:{}".format(*server.getsockname())
        for client in waiting:
            client.close()


def test_a_hello_says_what_the_box_is_like(hive: FakeServer, start_harness: StartHarness) -> None:
    start_harness()
    hive.wait_until(lambda: any("probe" in hello for hello in hive.hellos))
    probe = hive.hellos[-1]["probe"]
    assert (probe["version"], probe["sockets"]["own"]) == (1, True)


def test_a_hello_does_not_wait_for_a_slow_probe_which_is_told_later(
    hive: FakeServer, start_harness: StartHarness, environment: dict[str, str], deaf_port: str
) -> None:
    environment["HYPERHIVE_OPERATOR"] = deaf_port
    start_harness()
    hive.wait_until(lambda: hive.probes)
    (hello,), (told,) = hive.hellos, hive.probes
    assert "probe" not in hello
    assert told["probe"]["network"]["operator_reachable"] is False
    assert told["session"] == hello["session"]


def test_a_late_probe_holds_up_no_turn_and_no_turn_it(
    hive: FakeServer, start_harness: StartHarness, environment: dict[str, str], deaf_port: str
) -> None:
    environment["HYPERHIVE_OPERATOR"] = deaf_port
    hive.driver |= {"command": ["sleep", "3"]}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: hive.probes)
    assert turn not in hive.ends
    hive.wait_until(lambda: turn in hive.ends)
    assert hive.ends[turn]["outcome"] == "ok"
    assert len(hive.hellos) == 1


def test_a_reconnect_tells_the_probe_again(hive: FakeServer, start_harness: StartHarness) -> None:
    start_harness()
    hive.wait_until(lambda: any("probe" in hello for hello in hive.hellos))
    told = len(hive.hellos)
    hive.stop()
    hive.start()
    hive.wait_until(lambda: len(hive.hellos) > told)
    assert hive.hellos[-1]["probe"] == hive.hellos[told - 1]["probe"]


def test_a_server_that_knows_of_no_probe_gets_a_hello_without_one(
    hive: FakeServer, start_harness: StartHarness
) -> None:
    hive.hello_keys -= {"probe"}
    hive.driver |= {"command": ["true"]}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert [set(hello) for hello in hive.hellos] == [{"session", "pid", "version"}]


def test_an_older_server_is_not_told_late_either(
    hive: FakeServer, start_harness: StartHarness, environment: dict[str, str], deaf_port: str
) -> None:
    environment["HYPERHIVE_OPERATOR"] = deaf_port
    hive.hello_keys -= {"probe"}
    hive.driver |= {"command": ["sleep", "1.5"]}
    turn = hive.give(a_message())
    start_harness()
    hive.wait_until(lambda: turn in hive.ends)
    assert [set(hello) for hello in hive.hellos] == [{"session", "pid", "version"}]


@pytest.mark.anyio
async def test_a_probe_that_fails_is_told_as_failed() -> None:
    def look(environment: Mapping[str, str]) -> dict[str, Any]:
        raise OSError("no such thing")

    probing = Probing({}, look)
    await probing.done(5)
    assert probing.found == {"version": 1, "error": "OSError: no such thing"}
