"""Who gets in on the operator's port, how, and for how long."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hyperhive.services.logins import FAILURES_MAX, LINK_SECONDS, SESSION_SECONDS, Login, Logins
from hyperhive.services.upkeep import Upkeep
from hyperhive.store import Writing, alerts
from hyperhive.surfaces.http.stream import Position, stream
from tests.builders import ManualClock, a_desk, a_hive
from tests.promises import promise
from tests.surfaces.hives import Answer, Whole, a_whole_hive, operator_routes, started

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path, clock=clock) as whole:
        yield whole


async def by_secret(hive: Whole, secret: str | None = None) -> Answer:
    """Log in by the secret, or by another text."""
    data = {"secret": hive.secret if secret is None else secret}
    return await hive.stranger.ask("POST", "/login", data=data)


async def by_link(hive: Whole, url: str) -> Answer:
    """Open a login link, as a browser does."""
    return await hive.stranger.ask("GET", url.partition(hive.host)[2])


async def a_link(hive: Whole) -> str:
    """Ask for a login link on the admin socket."""
    return str((await hive.admin.post("/api/login-link"))["url"])


def cookie_of(answer: Answer) -> str:
    """Give the cookie that an answer sets, as a browser sends it back."""
    return answer.cookies[0].partition(";")[0]


def content(path: str) -> bytes:
    """Read a file."""
    return Path(path).read_bytes()


async def asked_with(hive: Whole, cookie: str) -> Answer:
    """Ask for the state with a cookie."""
    return await hive.stranger.ask("GET", "/api/state", headers={"cookie": cookie})


@promise("I3")
async def test_without_a_login_only_the_public_routes_answer(hive: Whole) -> None:
    public = {
        ("/api/health", "GET"),
        ("/login", "GET"),
        ("/login", "POST"),
        ("/login/{token}", "GET"),
        ("/static/{path}", "GET"),
    }

    for template, method in sorted(operator_routes() - public):
        answer = await hive.stranger.ask(method, re.sub(r"{\w+}", "1", template))
        if template == "/":
            assert (answer.status, answer.headers["location"]) == (303, "/login")
        else:
            assert answer.status == 401, (method, template)
            assert answer.json()["code"] == "unauthorized"
            assert answer.json()["remedy"]


SPELLINGS = [
    "//api/state", "/api/state/", "/api//state", "/./api/state", "/login/../api/state",
    "/login/..%2fapi%2fstate", "/static/../api/state", "/static/%2e%2e/api/state",
    "/static/..%2f..%2fapi%2fstate", "/api/health/../state", "/login//api/state", "/api/%73tate",
    "/static//../api/state", "/API/state", "/api/state%00", "/api/state;/login/",
    "/api/state?/login/", "/login/x/../../api/state", "http://localhost/login/../api/state",
    "http://localhost/api/state", "http://localhost/static/../../api/state",
]  # fmt: skip


@promise("I3")
async def test_no_spelling_of_a_path_leads_past_the_login(hive: Whole) -> None:
    for target in SPELLINGS:
        answer = await hive.stranger.ask("GET", target)

        assert answer.status in {400, 401, 404}, target
        assert b"epoch" not in answer.body, target


async def test_the_secret_opens_a_session(hive: Whole) -> None:
    answer = await by_secret(hive)

    assert answer.status == 200
    assert (await asked_with(hive, cookie_of(answer))).status == 200
    session = await hive.stranger.ask("GET", "/api/session", headers={"cookie": cookie_of(answer)})
    assert session.json() == {"operator": "operator", "csrf": answer.json()["csrf"]}


async def test_another_secret_opens_nothing(hive: Whole) -> None:
    for secret in ("", "wrong", "\0", "é", hive.secret.lower() + "x", "x" * 100_000):
        answer = await by_secret(hive, secret)

        assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
        assert "hyperhive login-link" in answer.json()["remedy"]
        assert answer.cookies == ()


async def test_an_empty_secret_file_lets_nobody_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("\n")
    declared = {"operator": {"port": 0, "secretFile": str(secret)}}
    async with a_whole_hive(tmp_path / "state", hive=declared) as hive:
        for tried in ("", " ", "\n"):
            assert (await by_secret(hive, tried)).status == 401
        bearer = {"authorization": "Bearer"}
        assert (await hive.stranger.ask("GET", "/api/state", headers=bearer)).status == 401


async def test_a_secret_file_that_lets_nobody_in_is_an_alert_until_it_is_mended(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    async with a_desk(tmp_path / "state") as desk:
        upkeep = Upkeep(desk.store, desk.messages, Logins(desk.store, secret))
        said = []
        for content in (None, b" \n", b"\xff", b"right\n"):
            if content is not None:
                secret.write_bytes(content)
            for _ in range(2):
                await upkeep.look_at_the_secret()
            standing = await desk.store.read(alerts.standing)
            said.append([alert["text"].split(": ")[1] for alert in standing])

    place = f"{secret} "
    assert [[text.removeprefix(place).split(".")[0] for text in texts] for texts in said] == [
        ["is missing"],
        ["is empty"],
        ["cannot be read (it is not UTF-8)"],
        [],
    ]


async def test_a_new_secret_in_the_file_counts_at_once(hive: Whole) -> None:
    file = hive.run.hive.state_dir / "operator-secret"
    file.write_text("another\n")

    assert (await by_secret(hive)).status == 401
    assert (await by_secret(hive, "another")).status == 200


async def test_the_hives_own_secret_is_for_its_user_alone(hive: Whole) -> None:
    file = hive.run.hive.state_dir / "operator-secret"

    assert file.stat().st_mode & 0o777 == 0o600
    assert len(hive.secret) >= 32


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(hive: Whole) -> None:
    for answer in (await by_secret(hive), await by_link(hive, await a_link(hive))):
        (cookie,) = answer.cookies
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= attributes
        assert f"max-age={int(SESSION_SECONDS)}" in attributes


async def test_two_hives_on_one_host_do_not_take_each_others_cookies(
    hive: Whole, tmp_path: Path
) -> None:
    async with a_whole_hive(tmp_path / "other") as other:
        mine, theirs = cookie_of(await by_secret(hive)), cookie_of(await by_secret(other))

        assert mine.partition("=")[0] != theirs.partition("=")[0]
        assert (await asked_with(hive, f"{theirs}; {mine}")).status == 200
        assert (await asked_with(other, mine)).status == 401


async def test_cookies_of_other_programs_on_this_host_do_not_shut_the_operator_out(
    hive: Whole,
) -> None:
    cookie = cookie_of(await by_secret(hive))

    for others in ('a={"json":1}; %s', '%s; b="', "; ;=;%s", "é=é; %s", 'x="; %s', "a[b]=c@d; %s;"):
        assert (await asked_with(hive, others % cookie)).status == 200, others


async def test_an_invented_cookie_opens_nothing(hive: Whole) -> None:
    name = f"hyperhive_{hive.port}"

    for cookie in ("", "=", name, f"{name}=", f"{name}=x", f"{name}=%00", f"{name}=é"):
        assert (await asked_with(hive, cookie)).status == 401


@promise("I5")
async def test_a_login_link_works_once(hive: Whole) -> None:
    link = await a_link(hive)

    first, second = await by_link(hive, link), await by_link(hive, link)

    assert (first.status, first.headers["location"]) == (303, "/")
    assert (await asked_with(hive, cookie_of(first))).status == 200
    assert (second.status, second.cookies) == (401, ())
    assert "hyperhive login-link" in second.json()["remedy"]


@promise("I5")
async def test_of_two_who_open_a_login_link_at_once_one_gets_in(hive: Whole) -> None:
    link = await a_link(hive)

    answers = await asyncio.gather(*(by_link(hive, link) for _ in range(10)))

    assert sorted(answer.status for answer in answers) == [303] + [401] * 9


@promise("I5")
async def test_a_login_link_expires(hive: Whole, clock: ManualClock) -> None:
    link = await a_link(hive)
    clock.advance(LINK_SECONDS)

    assert (await by_link(hive, link)).status == 401


async def test_a_login_link_is_no_session(hive: Whole) -> None:
    token = (await a_link(hive)).rpartition("/")[2]

    assert (await asked_with(hive, f"hyperhive_{hive.port}={token}")).status == 401


async def test_invented_links_cost_no_commit(hive: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = hive.run.store.write

    async def noted(job: Callable[[Writing], Any]) -> Any:
        written.append(job.__module__)
        return await write(job)

    monkeypatch.setattr(hive.run.store, "write", noted)
    await by_link(hive, await a_link(hive))
    assert "hyperhive.services.logins" in written
    written.clear()

    for n in range(5):
        assert (await hive.stranger.ask("GET", f"/login/{n}")).status == 401

    assert "hyperhive.services.logins" not in written


async def test_a_session_expires(hive: Whole, clock: ManualClock) -> None:
    cookie = cookie_of(await by_secret(hive))
    clock.advance(SESSION_SECONDS)

    assert (await asked_with(hive, cookie)).status == 401


async def test_a_session_and_a_link_outlive_a_restart_of_the_server(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    first_run = a_hive(tmp_path / "state", run_dir)
    async with started(first_run) as hive:
        cookie, link, port = cookie_of(await by_secret(hive)), await a_link(hive), hive.port

    same_port = {"operator": {"port": port}}
    async with started(a_hive(tmp_path / "state", run_dir, hive=same_port)) as hive:
        assert (await asked_with(hive, cookie)).status == 200
        assert (await by_link(hive, link)).status == 303


async def test_a_logout_ends_the_session_and_no_other(hive: Whole) -> None:
    mine, other = await by_secret(hive), cookie_of(await by_secret(hive))
    cookie = cookie_of(mine)
    headers = {"cookie": cookie, "x-hyperhive-csrf": mine.json()["csrf"]}

    answer = await hive.stranger.ask("POST", "/logout", headers=headers)

    assert answer.status == 200
    assert "max-age=0" in answer.cookies[0].lower()
    assert (await asked_with(hive, cookie)).status == 401
    assert (await asked_with(hive, other)).status == 200


async def test_a_logout_ends_the_live_streams_of_its_session_and_no_other(hive: Whole) -> None:
    mine, other = await by_secret(hive), cookie_of(await by_secret(hive))
    cookie = cookie_of(mine)
    async with hive.stranger.live(cookie=cookie) as ends, hive.stranger.live(cookie=other) as goes:
        assert (await ends.next()).name == (await goes.next()).name == "hello"
        headers = {"cookie": cookie, "x-hyperhive-csrf": mine.json()["csrf"]}
        await hive.stranger.ask("POST", "/logout", headers=headers)

        assert [sent.name for sent in await ends.rest()] == []
        number = await hive.admin.send("alice")
        told = await goes.next()
        assert told.data["data"]["message"]["id"] == number


async def test_a_stream_without_a_session_outlives_every_logout(hive: Whole) -> None:
    mine = await by_secret(hive)
    headers = {"cookie": cookie_of(mine), "x-hyperhive-csrf": mine.json()["csrf"]}
    async with hive.operator.live() as live:
        await live.next()
        await hive.stranger.ask("POST", "/logout", headers=headers)
        await hive.admin.send("alice")

        assert (await live.next()).name == "event"


async def test_a_session_that_is_closed_on_the_way_gets_no_stream(hive: Whole) -> None:
    run, logins = hive.run, Logins(hive.run.store, None)
    closed = Login("nobody-has-this", "csrf")
    parts = stream(run.store, run.feed, Position(None, None), logins, closed)

    assert [part async for part in parts] == []


@pytest.mark.parametrize("way", ["page", "bearer"])
async def test_who_guesses_at_the_secret_is_stopped_and_told_until_when(
    hive: Whole, clock: ManualClock, way: str
) -> None:
    async def tried(secret: str) -> Answer:
        if way == "page":
            return await by_secret(hive, secret)
        bearer = {"authorization": f"Bearer {secret}"}
        return await hive.stranger.ask("GET", "/api/state", headers=bearer)

    for n in range(FAILURES_MAX):
        assert (await tried(f"guess {n}")).status == 401
        clock.advance(1)

    stopped = await tried("one more")
    right = await tried(hive.secret)
    clock.advance(50)
    later = await tried(hive.secret)

    assert (stopped.status, stopped.json()["code"]) == (429, "quota")
    assert "Try again in 50 s" in stopped.json()["remedy"]
    assert right.status == 429
    assert later.status == 200


async def test_who_guesses_shuts_out_neither_sessions_nor_links_nor_the_admin_socket(
    hive: Whole,
) -> None:
    cookie, link = cookie_of(await by_secret(hive)), await a_link(hive)

    for n in range(FAILURES_MAX + 1):
        await by_secret(hive, f"guess {n}")

    assert (await asked_with(hive, cookie)).status == 200
    assert (await by_link(hive, link)).status == 303
    assert (await hive.admin.ask("GET", "/api/state")).status == 200


async def test_a_clock_that_is_set_back_does_not_prolong_the_stop(
    hive: Whole, clock: ManualClock
) -> None:
    for n in range(FAILURES_MAX):
        await by_secret(hive, f"guess {n}")

    clock.advance(-3600)

    assert (await by_secret(hive)).status == 200


async def test_right_secrets_are_never_counted(hive: Whole) -> None:
    for _ in range(FAILURES_MAX + 5):
        assert (await hive.operator.ask("GET", "/api/session")).status == 200


async def test_no_secret_is_in_the_database(hive: Whole) -> None:
    answer = await by_secret(hive)
    link = (await a_link(hive)).rpartition("/")[2]
    backup = (await hive.admin.post("/api/backup"))["path"]

    kept = content(backup)

    assert hive.secret.encode() not in kept
    assert cookie_of(answer).partition("=")[2].encode() not in kept
    assert link.encode() not in kept
