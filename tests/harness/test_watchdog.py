import os
import socket
from pathlib import Path

from hyperhive.harness.watchdog import Watchdog
from tests.harness.conftest import StartHarness
from tests.harness.fake_server import FakeServer


def test_the_variables_of_systemd_are_taken_out_of_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1", "A": "b"}
    Watchdog.from_environment(environment)
    assert environment == {"A": "b"}


def test_a_watchdog_is_fed_at_half_its_time() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "4000000"}
    assert Watchdog.from_environment(environment).period_seconds == 2


def test_a_watchdog_of_another_process_is_not_fed() -> None:
    environment = {
        "NOTIFY_SOCKET": "/x",
        "WATCHDOG_USEC": "4000000",
        "WATCHDOG_PID": str(os.getpid() + 1),
    }
    assert Watchdog.from_environment(environment).period_seconds is None


def test_a_manager_that_does_not_listen_is_survived(tmp_path: Path) -> None:
    Watchdog(str(tmp_path / "nobody"), 1.0).ready()


def test_a_harness_says_it_is_ready_and_feeds_the_watchdog(
    hive: FakeServer, start_harness: StartHarness, box: Path, environment: dict[str, str]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(box / "notify"))
        notify.settimeout(8)
        environment |= {"NOTIFY_SOCKET": str(box / "notify"), "WATCHDOG_USEC": "200000"}
        start_harness()
        assert [notify.recv(64) for _ in range(4)] == [b"READY=1"] + [b"WATCHDOG=1"] * 3


def test_a_harness_without_a_server_feeds_the_watchdog(
    start_harness: StartHarness, box: Path, environment: dict[str, str]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(box / "notify"))
        notify.settimeout(8)
        environment |= {"NOTIFY_SOCKET": str(box / "notify"), "WATCHDOG_USEC": "200000"}
        start_harness()
        assert [notify.recv(64) for _ in range(6)] == [b"READY=1"] + [b"WATCHDOG=1"] * 5
