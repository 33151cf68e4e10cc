"""What the operator's port refuses even from a browser that is logged in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hyperhive.surfaces.http.gate import CONTENT_SECURITY_POLICY
from tests.promises import promise
from tests.surfaces.hives import Answer, Whole, Wire, a_whole_hive, ask

pytestmark = pytest.mark.anyio

FOREIGN = "evil.example"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one hive stand for all of this file: nothing here gets through to change it."""
    return "asyncio"


@dataclass(frozen=True)
class Browser:
    """A browser that is logged in."""

    hive: Whole
    cookie: str
    csrf: str

    async def ask(self, method: str, target: str, **headers: str) -> Answer:
        """Ask with the cookie and, unless said otherwise, as our own page does."""
        fields = {
            "host": self.hive.host,
            "cookie": self.cookie,
            "x-hyperhive-csrf": self.csrf,
            "origin": f"http://{self.hive.host}",
            "sec-fetch-site": "same-origin",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        given = {name: value for name, value in fields.items() if value}
        data = {"to": "alice", "body": "hello"} if method == "POST" else None
        return await ask(self.hive.tcp, method, target, headers=given, data=data)


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    hosts = {"operator": {"port": 0, "hosts": ["hive.example.org"]}}
    async with a_whole_hive(tmp_path_factory.mktemp("hive"), hive=hosts) as hive:
        answer = await hive.stranger.ask("POST", "/login", data={"secret": hive.secret})
        yield Browser(hive, answer.cookies[0].partition(";")[0], answer.json()["csrf"])


def mode_of(path: Path) -> int:
    """Give a file's permissions."""
    return path.stat().st_mode & 0o777


async def test_our_own_page_may_change_things(browser: Browser) -> None:
    answer = await browser.ask("POST", "/api/messages")

    assert answer.status == 201


CHANGES = ["/api/messages", "/api/messages/1/drop", "/api/backup", "/api/restore", "/logout"]


@promise("I4")
@pytest.mark.parametrize("target", CHANGES)
@pytest.mark.parametrize("token", ["", "wrong", "é"])
async def test_a_cookie_without_its_token_changes_nothing(
    browser: Browser, target: str, token: str
) -> None:
    before = browser.hive.run.store.bus.seq

    answer = await browser.ask("POST", target, x_hyperhive_csrf=token)

    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
    assert "/api/session" in answer.json()["remedy"]
    assert browser.hive.run.store.bus.seq == before


@promise("I4")
async def test_the_token_of_another_session_changes_nothing(browser: Browser) -> None:
    other = await browser.hive.stranger.ask("POST", "/login", data={"secret": browser.hive.secret})

    answer = await browser.ask("POST", "/api/messages", x_hyperhive_csrf=other.json()["csrf"])

    assert answer.status == 403


@promise("I4")
@pytest.mark.parametrize(
    "origin",
    [
        f"http://{FOREIGN}",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "http://[",
        "http://[::1",
        "://127.0.0.1:{port}",
        "ftp://127.0.0.1:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://evil.example@127.0.0.1:{port}",
        "http://127.0.0.1:{port}@evil.example",
        "http://127.0.0.1:{port}/",
        "127.0.0.1:{port}",
        "é",
    ],
)
async def test_a_page_of_another_origin_changes_nothing(browser: Browser, origin: str) -> None:
    named = origin.format(port=browser.hive.port)

    answer = await browser.ask("POST", "/api/messages", origin=named)
    login = await browser.ask("POST", "/login", origin=named)

    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
    assert login.status == 403
    assert answer.json()["remedy"]


@promise("I4")
@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
async def test_what_the_browser_says_comes_from_elsewhere_changes_nothing(
    browser: Browser, site: str
) -> None:
    answer = await browser.ask("POST", "/api/messages", origin="", sec_fetch_site=site)

    assert answer.status == 403


@promise("I4")
@pytest.mark.parametrize(
    "host",
    [
        FOREIGN,
        f"{FOREIGN}:{{port}}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "localhost:1",
        "127.0.0.1:{port}:{port}",
        "127.0.0.1:{port}.evil.example",
        "evil.example@127.0.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "127.0.0.1.:{port}",
        "localhost.:{port}",
        "0.0.0.0:{port}",
        "127.0.0.2:{port}",
        "127.1:{port}",
        "2130706433:{port}",
        "[::1]",
        "::1:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "x.hive.example.org",
        "hive.example.org.evil.example",
        "hive.example.org:1:1",
        "hive.example.org:evil",
        ":{port}",
        "",
    ],
)
async def test_a_foreign_host_name_is_refused_everywhere(browser: Browser, host: str) -> None:
    headers = {"host": host.format(port=browser.hive.port), "cookie": browser.cookie}

    for target in ("/api/state", "/login", "/api/health", "/static/main.js"):
        answer = await ask(browser.hive.tcp, "GET", target, headers=headers)

        assert (answer.status, answer.json()["code"]) == (403, "forbidden"), target
        assert "operator.hosts" in answer.json()["remedy"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "LOCALHOST:{port}",
        "[::1]:{port}",
        "hive.example.org",
        "HIVE.example.org:8443",
    ],
)
async def test_our_own_names_are_answered(browser: Browser, host: str) -> None:
    named = host.format(port=browser.hive.port)

    answer = await browser.ask("GET", "/api/state", host=named)

    assert answer.status == 200


@promise("I4")
@pytest.mark.parametrize(
    "head",
    [
        "GET /api/health HTTP/1.0\r\n",
        "GET /api/health HTTP/1.1\r\n",
        "GET /api/health HTTP/1.1\r\nhost: {own}\r\nhost: evil.example\r\n",
        "GET /api/health HTTP/1.1\r\nhost: evil.example\r\nhost: {own}\r\n",
        "GET http://{own}/api/health HTTP/1.1\r\nhost: evil.example\r\n",
        "GET /api/health HTTP/1.1\r\nx-forwarded-host: {own}\r\nhost: evil.example\r\n",
        "GET /api/health HTTP/1.1\r\nforwarded: host={own}\r\nhost: evil.example\r\n",
        "GET /api/health HTTP/1.1\r\nhost: evil.example\r\n host: {own}\r\n",
    ],
)
async def test_no_trick_with_the_host_header_gets_an_answer(browser: Browser, head: str) -> None:
    said = head.format(own=browser.hive.host) + "connection: close\r\n\r\n"
    async with await Wire.to(browser.hive.tcp) as wire:
        await wire.say(said.encode())
        heard = await wire.hear_all()

    assert heard.split()[1] in {b"400", b"403", b"404"}
    assert b"uptime" not in heard


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer {secret}", 201),
        ("bearer  {secret}", 201),
        ("Bearer", 401),
        ("Bearer é", 401),
        ("Basic {secret}", 401),
        ("{secret}", 401),
    ],
)
async def test_a_bearer_needs_the_whole_secret_and_no_token(
    browser: Browser, authorization: str, status: int
) -> None:
    headers = {
        "host": browser.hive.host,
        "authorization": authorization.format(secret=browser.hive.secret),
    }

    answer = await ask(
        browser.hive.tcp,
        "POST",
        "/api/messages",
        headers=headers,
        data={"to": "bob", "body": "hello"},
    )

    assert answer.status == status


@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        ("GET", "/", "own"),
        ("GET", "/login", "own"),
        ("GET", "/static/nope", "own"),
        ("GET", "/api/state", "own"),
        ("GET", "/api/nope", "own"),
        ("DELETE", "/api/state", "own"),
        ("GET", "/api/state", FOREIGN),
        ("GET", "/login/invented", "own"),
        ("GET", "/api/messages?before=x", "own"),
    ],
)
async def test_every_answer_keeps_foreign_scripts_and_frames_out(
    browser: Browser, method: str, target: str, host: str
) -> None:
    named = browser.hive.host if host == "own" else host

    answer = await browser.ask(method, target, host=named)

    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] in {"no-store", "no-cache"}
    assert "access-control-allow-origin" not in answer.headers


async def test_the_policy_allows_no_inline_script_and_no_other_host() -> None:
    policy = dict(part.strip().split(" ", 1) for part in CONTENT_SECURITY_POLICY.split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"


async def test_nobody_but_the_group_gets_at_the_admin_socket(browser: Browser) -> None:
    run = browser.hive.run
    sockets = {"admin": run.listeners.admin_socket, "alice": run.listeners.agent_socket("alice")}

    modes = {name: mode_of(path) for name, path in sockets.items()}

    assert modes == {"admin": 0o660, "alice": 0o600}
