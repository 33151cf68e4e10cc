"""The page's files on the wire: whole once, compressed where that is asked for, then a word."""

import gzip
import json
import re
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hyperhive.domain.errors import NotFoundError
from hyperhive.surfaces.dashboard import STATIC
from hyperhive.surfaces.http import assets
from hyperhive.surfaces.http.gate import WORKER_POLICY
from tests.surfaces.hives import Answer, Whole, a_whole_hive

pytestmark = pytest.mark.anyio

MAIN = "/static/main.js"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*"))


@pytest.fixture
async def hive(tmp_path: Path) -> AsyncIterator[Whole]:
    async with a_whole_hive(tmp_path) as whole:
        yield whole


async def got(hive: Whole, target: str = MAIN, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await hive.operator.ask("GET", target, headers=given)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_the_one_on_the_disk_in_both_forms(name: str) -> None:
    plain = assets.reply(name, accepted="", known="")
    zipped = assets.reply(name, accepted="gzip", known="")
    is_zipped = zipped.headers.get("content-encoding") == "gzip"

    assert plain.body == (STATIC / name).read_bytes()
    assert "content-encoding" not in plain.headers
    assert (gzip.decompress(zipped.body) if is_zipped else zipped.body) == plain.body
    assert (plain.headers["etag"] == zipped.headers["etag"]) is not is_zipped


@pytest.mark.parametrize("name", ["", ".", "..", "../__init__.py", "/main.js", "state", "none.js"])
def test_what_is_none_of_the_pages_files_is_not_found(name: str) -> None:
    with pytest.raises(NotFoundError):
        assets.reply(name, accepted="gzip", known="*")


def test_a_file_is_read_and_compressed_once() -> None:
    assets.reply("style/hive.css", accepted="gzip", known="")
    tracemalloc.start()
    try:
        for _ in range(50):
            assets.reply("style/hive.css", accepted="gzip", known="")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < (STATIC / "style/hive.css").stat().st_size


@pytest.mark.parametrize("target", ["/", "/login", MAIN, "/static/style/tokens.css"])
async def test_a_browser_that_has_a_file_is_told_so_and_no_more(hive: Whole, target: str) -> None:
    first = await got(hive, target, accept_encoding="gzip, deflate, br")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["vary"] == "accept-encoding"
    tag = first.headers["etag"]
    assert tag.startswith('"')

    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await got(hive, target, accept_encoding="gzip", if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "no-cache"
        assert again.headers["vary"] == "accept-encoding"
        assert "content-encoding" not in again.headers


@pytest.mark.parametrize("known", ["", '"other"', "W/", "etag", ",,", '"*"'])
async def test_a_browser_that_has_another_file_gets_this_one(hive: Whole, known: str) -> None:
    answer = await got(hive, if_none_match=known)

    assert (answer.status, answer.body) == (200, (STATIC / "main.js").read_bytes())


async def test_the_tag_of_one_form_does_not_stand_for_the_other(hive: Whole) -> None:
    plain, zipped = await got(hive), await got(hive, accept_encoding="gzip")

    assert plain.headers["etag"] != zipped.headers["etag"]
    mixed = await got(hive, accept_encoding="gzip", if_none_match=plain.headers["etag"])
    assert mixed.status == 200


@pytest.mark.parametrize(
    ("accepted", "is_zipped"),
    [
        ("gzip", True),
        ("GZip;q=0.5", True),
        ("br, gzip ; q=1.0", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0.0", False),
        ("*;q=0", False),
        ("gzip;q=much", False),
        ("gzipped", False),
    ],
)
async def test_a_file_is_compressed_for_whom_it_may_be(
    hive: Whole, accepted: str, is_zipped: bool
) -> None:
    answer = await got(hive, accept_encoding=accepted)

    assert (answer.headers.get("content-encoding") == "gzip") is is_zipped
    body = gzip.decompress(answer.body) if is_zipped else answer.body
    assert body == (STATIC / "main.js").read_bytes()
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.kind == "text/javascript"


async def test_what_is_no_file_of_the_page_stays_uncached(hive: Whole) -> None:
    answer = await got(hive, "/static/none.js", if_none_match="*")

    assert answer.status == 404
    assert answer.headers["cache-control"] == "no-store"


def test_a_first_load_is_small() -> None:
    names = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*")]

    sizes = [len(assets.reply(name, accepted="gzip", known="").body) for name in names]

    assert len(sizes) > 50
    assert sum(sizes) <= 110_000, "with headers and a snapshot it is to be at most 150 kB"


def modules_of(name: str, found: set[str]) -> set[str]:
    """Give what a module imports, and what that does."""
    text = (STATIC / name).read_text()
    for told in re.findall(r'^(?:import|\} from) .*?"(\.[^"]+)";$', text, re.MULTILINE):
        imported = (STATIC / name).parent.joinpath(told).resolve().relative_to(STATIC).as_posix()
        if imported not in found:
            found.add(imported)
            modules_of(imported, found)
    return found


def test_every_module_is_asked_for_at_once_and_not_when_another_has_come() -> None:
    shell = (STATIC / "index.html").read_text()

    named = re.findall(r'<link rel="modulepreload" href="/static/([^"]+)">', shell)

    assert sorted(named) == sorted(modules_of("main.js", set()))


async def test_a_snapshot_is_compressed_for_a_browser(hive: Whole) -> None:
    plain = await got(hive, "/api/state")
    zipped = await got(hive, "/api/state", accept_encoding="gzip, deflate, br")

    assert zipped.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(zipped.body))["seq"] == plain.json()["seq"]
    assert "content-encoding" not in plain.headers


async def test_a_token_is_never_compressed_beside_what_others_wrote(hive: Whole) -> None:
    answer = await got(hive, "/api/session", accept_encoding="gzip")

    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("target", [MAIN, "/static/style/tokens.css"])
async def test_what_a_page_is_made_of_carries_nothing_that_is_meant_for_documents(
    hive: Whole, target: str
) -> None:
    answer = await got(hive, target)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "permissions-policy" not in answer.headers


async def test_a_script_that_is_run_as_a_worker_reaches_no_other_host(hive: Whole) -> None:
    answer = await got(hive, "/static/wire/worker.js")

    assert answer.headers["content-security-policy"] == WORKER_POLICY
    assert "default-src 'none'" in WORKER_POLICY
    assert "connect-src 'self'" in WORKER_POLICY
