"""The embedded forge in a browser: where links to its pull requests lead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from hyperhive.domain.forge import NewPull, Verdict
from tests.contract.forges import Bench, Person, an_embedded_forge
from tests.promises import promise

pytestmark = pytest.mark.anyio

EVIL = "<script>alert(1)</script>"


@asynccontextmanager
async def a_browser(person: Person | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Follow links as a person who gave name and secret when asked for them, or who gave none."""
    known = (person.name, person.git.token) if person is not None else None
    async with httpx.AsyncClient(auth=known) as browser:
        yield browser


async def proposed(bench: Bench, alice: Person) -> str:
    """Open a pull request with a bad title and give its link."""
    org = await bench.org(alice)
    work = await alice.git.clone(await bench.repository(org))
    await alice.git.commit(work, "file", f"{EVIL}\n", "more")
    await alice.git("push", "-q", "origin", "more", cwd=work)
    pull = await alice.client.open_pull(org, "app", NewPull("more", "main", EVIL, EVIL))
    await bench.admin.comment(org, "app", pull.number, f"Is this {EVIL}?")
    await bench.admin.review(org, "app", pull.number, Verdict.APPROVED, "fine")
    return pull.html_url


@promise("F9")
async def test_a_link_to_a_pull_request_shows_all_of_it_as_text(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        alice = await bench.person("alice")
        link = await proposed(bench, alice)
        async with a_browser(alice) as browser:
            shown = await browser.get(link)
            above = await browser.get(link.rpartition("/pulls/")[0])
            diff = await browser.get(f"{link}.diff")
    text = shown.text

    assert (shown.status_code, above.status_code, diff.status_code) == (200, 200, 200)
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in text + above.text
    for said in ("hive said", "hive approved", "+&lt;script&gt;alert(1)", "/pulls/1/merge"):
        assert said in text
    assert f'href="{link}"' in above.text
    assert diff.headers["content-type"].startswith("text/plain")


@promise("F9")
async def test_a_link_shows_nothing_to_who_may_not_read_it(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        link = await proposed(bench, await bench.person("alice"))
        for person, status in ((None, 401), (await bench.person("bob"), 404)):
            for there in (link, link.rpartition("/pulls/")[0], f"{link}.diff"):
                async with a_browser(person) as browser:
                    shown = await browser.get(there)
                assert shown.status_code == status
                assert EVIL not in shown.text
                assert ("www-authenticate" in shown.headers) == (status == 401)


@promise("F9")
async def test_no_other_site_acts_with_the_password_that_a_browser_keeps(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        alice = await bench.person("alice")
        link = await proposed(bench, alice)
        merge = link.replace(bench.admin.url, f"{bench.admin.url}/api/v1/repos") + "/merge"
        headers = {"origin": "https://evil.example.org", "content-type": "text/plain"}
        async with a_browser(alice) as browser:
            refused = await browser.post(merge, content='{"Do": "merge"}', headers=headers)
            merged = await browser.post(merge, content='{"Do": "merge"}')

    assert (refused.status_code, merged.status_code) == (403, 200)
