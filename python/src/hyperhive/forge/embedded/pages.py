"""What a browser sees of the embedded forge: a repository and a pull request, to be read.

The pages have no script, no style, no form, and nothing of theirs comes from elsewhere; all that
people wrote is text. A browser asks for name and password, and shows what that account may read.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from hyperhive.domain.errors import NotFoundError
from hyperhive.domain.forge import PullState, Verdict
from hyperhive.forge.embedded import shapes
from hyperhive.forge.embedded.git import Git
from hyperhive.forge.embedded.repositories import Repositories
from hyperhive.forge.embedded.requests import Answer, Ask, number_of
from hyperhive.store import Reading, Row, Store, forge_pulls

DIFF_CHARS_MAX: Final = 256 * 1024
PULLS_MAX: Final = 200
HEADERS: Final = (
    ("content-security-policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
)
_SAID: Final = {
    Verdict.APPROVED: "approved",
    Verdict.CHANGES: "wants changes",
    Verdict.COMMENT: "reviewed",
    Verdict.REQUESTED: "is asked to review",
}


class Pages:
    """Shows repositories and pull requests to whoever may read them."""

    def __init__(self, store: Store, git: Git, repositories: Repositories) -> None:
        self._store = store
        self._git = git
        self._repositories = repositories

    async def repository(self, ask: Ask, owner: str, name: str) -> Answer:
        """Show a repository and its latest pull requests."""
        seen = await self._repositories.see(ask, owner, name)
        row = seen.repository

        def job(read: Reading) -> list[Row]:
            return list(forge_pulls.listed(read, row.id, "all"))[:PULLS_MAX]

        where = f"{ask.url}/{seen.full_name}"
        pulls = [
            f'<li><a href="{_text(where)}/pulls/{each.number}">#{each.number} {_text(each.title)}'
            f"</a>: {_text(each.state)}, by {_text(each.author)}"
            for each in await self._store.read(job)
        ]
        return _page(
            seen.full_name,
            f"<p>{_text(row.description)}",
            f"<pre>git clone {_text(where)}.git</pre>",
            f"<p>Its branch is {_text(row.default_branch)}.",
            "<h2>Pull requests</h2>",
            f"<ul>{''.join(pulls)}</ul>" if pulls else "<p>None yet.",
        )

    async def pull(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Show a pull request: what was said of it, what it changes, and how it is merged."""
        seen = await self._repositories.see(ask, owner, name)
        here, which = seen.repository.id, number_of("pull request", number)

        def job(read: Reading) -> tuple[Row | None, list[Row]]:
            row = forge_pulls.find(read, here, which)
            if row is None:
                return None, []
            said = [
                *forge_pulls.remarks(read, row.id, reviews=True),
                *forge_pulls.remarks(read, row.id, reviews=False),
            ]
            return row, sorted(said, key=lambda each: int(each.id))

        row, said = await self._store.read(job)
        if row is None:
            raise NotFoundError("pull request", number)
        diff = await self._git.diff(here, row.base_commit, row.head_commit)
        if len(diff) > DIFF_CHARS_MAX:
            diff = diff[:DIFF_CHARS_MAX] + "\n… the rest is too long; fetch the branch.\n"
        where = _text(f"{ask.url}/{seen.full_name}")
        return _page(
            f"{seen.full_name}#{row.number} {row.title}",
            f"<p>{_text(row.state)}: {_text(row.author)} wants {_text(row.head)} in "
            f'{_text(row.base)} of <a href="{where}">{_text(seen.full_name)}</a>.',
            _quoted(row.body),
            *(_remark(each) for each in said),
            *(_ways(ask, seen.full_name, row) if row.state == PullState.OPEN.value else ()),
            "<h2>What it changes</h2>",
            f"<pre>{_text(diff)}</pre>",
        )


def _ways(ask: Ask, full_name: str, row: Row) -> Iterable[str]:
    api = f"{ask.url}/api/v1/repos/{full_name}/pulls/{row.number}"
    said = f"curl --user {ask.who.name} --header 'Content-Type: application/json' --request"
    yield "<h2>To merge it, or to close it</h2>"
    yield (
        f'<pre>{_text(said)} POST --data \'{{"Do": "merge"}}\' {_text(api)}/merge\n'
        f'{_text(said)} PATCH --data \'{{"state": "closed"}}\' {_text(api)}</pre>'
    )


def _remark(row: Row) -> str:
    did = _SAID[Verdict(row.verdict)] if row.verdict is not None else "said"
    return f"<h3>{_text(row.author)} {did}, {shapes.stamp(row.at)}</h3>{_quoted(row.body)}"


def _quoted(text: str) -> str:
    return f"<pre>{_text(text)}</pre>" if text.strip() else ""


def _text(text: str) -> str:
    return escape(text, quote=True)


def _page(title: str, *parts: str) -> Answer:
    shown = _text(title)
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{shown}</title><h1>{shown}</h1>{''.join(parts)}</html>\n"
    )
    return Answer(body, media_type="text/html; charset=utf-8", headers=HEADERS)
