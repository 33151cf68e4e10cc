"""A webhook gets what is posted, and whatever goes wrong is said without its address."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from hyperhive.domain.errors import UnavailableError
from hyperhive.notices.webhook import Webhook

pytestmark = pytest.mark.anyio


class Service(BaseHTTPRequestHandler):
    """Takes notifications at /ok, and misbehaves elsewhere."""

    taken: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/half":
            self.wfile.write(b"HTTP/1.1 2")
            return
        if self.path.startswith("/ok"):
            self.taken.append((self.path, json.loads(body)))
        self.send_response({"/moved": 302, "/broken": 500}.get(self.path, 204))
        self.send_header("location", "/ok")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def address() -> Iterator[str]:
    Service.taken.clear()
    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def hook(directory: Path, address: str) -> Webhook:
    file = directory / "url"
    file.write_text(f"{address}\n")
    return Webhook(file, timeout_seconds=5)


async def test_a_notification_arrives_as_json(tmp_path: Path, address: str) -> None:
    await hook(tmp_path, f"{address}/ok?key=1").post({"text": "hello"})

    assert Service.taken == [("/ok?key=1", {"text": "hello"})]


@pytest.mark.parametrize("path", ["/broken?token=abc", "/moved?token=abc", "/half"])
async def test_an_answer_that_takes_nothing_is_a_failure(
    tmp_path: Path, address: str, path: str
) -> None:
    with pytest.raises(UnavailableError) as failure:
        await hook(tmp_path, address + path.partition("?")[0]).post({})

    assert "abc" not in str(failure.value)
    assert Service.taken == []


@pytest.mark.parametrize(
    "text", ["", "ftp://host/x", "http://", "http://[::1", "http://host:99999999/secret"]
)
async def test_what_is_no_address_is_said_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnavailableError, match="webhook's address") as failure:
        await hook(tmp_path, text).post({})

    assert "[::1" not in str(failure.value)
    assert "secret" not in str(failure.value)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="url cannot be read"):
        await Webhook(tmp_path / "url").post({})


async def test_nobody_listening_is_a_failure_without_the_address(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached") as failure:
        await hook(tmp_path, "http://127.0.0.1:1/token").post({})

    assert "token" not in str(failure.value)
