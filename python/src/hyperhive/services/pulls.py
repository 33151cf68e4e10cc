"""Pull requests: who is told of what, once, and what hangs on whom.

What was told is a row. Whoever looks at a pull request, because of a webhook or of the poll, hands
in what it is now; the difference to the row is told in the transaction that brings the row up to
date, so one thing is told once however often it is seen.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, assert_never

from hyperhive.domain.actors import OPERATOR, THE_SYSTEM, Actor
from hyperhive.domain.errors import ConflictError, NotFoundError
from hyperhive.domain.forge import Comment, Pull, PullState, Review, Verdict
from hyperhive.domain.threads import Thread, ThreadKind, summary
from hyperhive.services.agents import Agents
from hyperhive.store import Reading, Row, Store, Writing, messages
from hyperhive.store import forge as rows
from hyperhive.store.messages import Draft

QUOTED_CHARS_MAX: Final = 1500
_SAID: Final = {
    Verdict.APPROVED: "approved",
    Verdict.CHANGES: "wants changes in",
    Verdict.COMMENT: "reviewed",
}


class Pulls:
    """The pull requests of the hive's organisations; also their source of open threads."""

    kind = ThreadKind.PULL_REQUEST

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    async def open_now(self, repository: str) -> dict[int, float]:
        """Give the open ones that are known of a repository: when each was last changed."""
        found = await self._store.read(lambda asking: rows.open_pulls(asking, repository))
        return {row.number: row.updated_at for row in found}

    async def note(
        self,
        pull: Pull,
        comments: Sequence[Comment],
        reviews: Sequence[Review],
        *,
        by: str | None = None,
    ) -> None:
        """Record what a pull request is now, and tell those concerned what is new of it.

        ``by`` is who caused it, where that is known: nobody is told of what they did themselves.
        One that was over before the hive first saw it is told to nobody.
        """

        def job(work: Writing) -> None:
            repository = f"{pull.owner}/{pull.repository}"
            row = rows.find_pull(work, repository, pull.number)
            said = [review for review in reviews if review.verdict is not Verdict.REQUESTED]
            fresh_comments = [each for each in comments if row is None or each.id > row.comments]
            fresh_reviews = [each for each in said if row is None or each.id > row.reviews]
            involved = {
                *(json.loads(row.involved_json) if row is not None else ()),
                *(each.author for each in comments),
                *(each.reviewer for each in said),
            }
            is_old = row is None and pull.state is not PullState.OPEN
            if not is_old:
                for who, words in self._news(
                    row, pull, fresh_comments, fresh_reviews, involved, by
                ):
                    messages.add(work, Draft(THE_SYSTEM, who, words))
            if row is not None and not fresh_comments and not fresh_reviews and _same(row, pull):
                return
            rows.put_pull(
                work,
                pull,
                involved=involved,
                comments=max((each.id for each in comments), default=row.comments if row else 0),
                reviews=max((each.id for each in said), default=row.reviews if row else 0),
                silently=is_old,
            )

        await self._store.write(job)

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give the open ones: an agent's own and those that it must review, or all."""
        found: list[Thread] = []
        for row in rows.open_pulls(asking):
            reviewers = json.loads(row.reviewers_json)
            if agent is None or row.author == agent:
                waits = ", ".join(reviewers) or None
                found.append(_thread(row, row.author, waits, "your pull request"))
            elif agent in reviewers:
                found.append(_thread(row, agent, row.author, "to be reviewed by you"))
        return found

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:  # noqa: ARG002 - the port's
        """Refuse: a pull request is closed where it is."""
        row = await self._store.read(lambda asking: rows.pull_of_id(asking, number))
        if row is None:
            raise NotFoundError("pull request", number)
        raise ConflictError(
            f"{row.repository}#{row.number} is a pull request on the forge.",
            f"Close or merge it there: {row.url}",
        )

    def _news(
        self,
        row: Row | None,
        pull: Pull,
        comments: Sequence[Comment],
        reviews: Sequence[Review],
        involved: Iterable[str],
        by: str | None,
    ) -> Iterator[tuple[str, str]]:
        """Say what is new, to whom."""
        what = _named(pull)
        before = set(json.loads(row.reviewers_json)) if row is not None else set()
        everyone = {pull.author, *pull.requested_reviewers, *before, *involved}
        is_open = pull.state is PullState.OPEN
        asked = pull.requested_reviewers - before if is_open else frozenset[str]()
        for name in self._recipients(asked, but={pull.author}):
            yield name, f"{pull.author} asks you to review {what}."
        if row is None and not pull.requested_reviewers:
            told = {self._agents.hive.manager_name}
            for name in self._recipients(told, but={pull.author}):
                yield name, f"{pull.author} opened {what}; nobody is asked to review it."
        for comment in comments:
            for name in self._recipients(everyone, but={comment.author}):
                yield name, f"{comment.author} commented on {what}:\n\n{_quoted(comment.body)}"
        for review in reviews:
            words = f"{review.reviewer} {_SAID.get(review.verdict, 'reviewed')} {what}"
            told_of = f"{words}:\n\n{_quoted(review.body)}" if review.body.strip() else f"{words}."
            for name in self._recipients({pull.author}, but={review.reviewer}):
                yield name, told_of
        if row is not None and row.state != pull.state.value:
            who = pull.merged_by or by
            for name in self._recipients(everyone, but={who} if who else set()):
                yield name, _ended(pull, what, who)

    def _recipients(self, accounts: Iterable[str], *, but: Iterable[str | None]) -> list[str]:
        hive = self._agents.hive
        left_out = set(but)
        found = {
            OPERATOR if account == hive.operator.forge_account else account
            for account in accounts
            if account not in left_out
        }
        return sorted(name for name in found if name == OPERATOR or name in hive.agents)


def _named(pull: Pull) -> str:
    title = " ".join(pull.title.split())[:160]
    return f"{pull.owner}/{pull.repository}#{pull.number} “{title}” ({pull.html_url})"


def _ended(pull: Pull, what: str, who: str | None) -> str:
    match pull.state:
        case PullState.MERGED:
            return f"{who} merged {what}." if who else f"{what} was merged."
        case PullState.CLOSED:
            said = "without merging it"
            return f"{who} closed {what} {said}." if who else f"{what} was closed {said}."
        case PullState.OPEN:
            return f"{who} opened {what} again." if who else f"{what} was opened again."
        case _:
            assert_never(pull.state)


def _quoted(text: str) -> str:
    shown = text if len(text) <= QUOTED_CHARS_MAX else text[:QUOTED_CHARS_MAX] + " …"
    return "\n".join(f"> {line}" for line in shown.splitlines()) or "> (nothing)"


def _same(row: Row, pull: Pull) -> bool:
    return (row.state, row.title, row.updated_at, row.reviewers_json) == (
        pull.state.value,
        pull.title,
        pull.updated_at,
        json.dumps(sorted(pull.requested_reviewers), separators=(",", ":"), ensure_ascii=False),
    )


def _thread(row: Row, agent: str, other: str | None, lead: str) -> Thread:
    what = summary(f"{row.repository}#{row.number}, {lead}", row.title)
    return Thread(ThreadKind.PULL_REQUEST, row.id, what, row.at, agent, other, row.url)
