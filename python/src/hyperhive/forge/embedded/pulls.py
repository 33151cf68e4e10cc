"""The embedded forge's API of pull requests: opened, looked at, spoken of, merged, closed."""

from functools import partial
from typing import Any, Final

from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.domain.forge import MergeStyle, PullState, Verdict
from hyperhive.forge.embedded import permissions, shapes
from hyperhive.forge.embedded.git import Git
from hyperhive.forge.embedded.hooks import Hooks
from hyperhive.forge.embedded.permissions import READ, WRITE, Seen
from hyperhive.forge.embedded.repositories import Repositories, authorship
from hyperhive.forge.embedded.requests import Answer, Ask, number_of, paged
from hyperhive.store import Row, Store, Writing, forge_accounts, forge_repositories
from hyperhive.store import forge_pulls as rows

TEXT_MAX: Final = 64 * 1024


class Pulls:
    """Answers what is asked about pull requests."""

    def __init__(
        self, store: Store, git: Git, repositories: Repositories, hooks: Hooks, url: str = ""
    ) -> None:
        self._store = store
        self._git = git
        self._repositories = repositories
        self._hooks = hooks
        self.url = url

    async def listed(self, ask: Ask, owner: str, name: str) -> Answer:
        """List pull requests."""
        seen = await self._repositories.see(ask, owner, name)
        state = ask.query.get("state", "open")
        found = await self._store.read(lambda read: rows.listed(read, seen.repository.id, state))
        cut, headers = paged(ask, found)
        return Answer([await self._shown(seen, row) for row in cut], headers=headers)

    async def show(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Show one; with ``.diff`` behind its number, what it changes."""
        seen, row = await self._find(ask, owner, name, number.removesuffix(".diff"))
        if number.endswith(".diff"):
            text = await self._git.diff(seen.repository.id, row.base_commit, row.head_commit)
            return Answer(text, media_type="text/plain; charset=utf-8")
        return Answer(await self._shown(seen, row))

    async def open(self, ask: Ask, owner: str, name: str) -> Answer:
        """Open one."""
        seen = await self._repositories.see(ask, owner, name)
        title, body = ask.text("title"), ask.text("body", most=TEXT_MAX)
        head, base = ask.text("head").rpartition(":")[2], ask.text("base")
        if not title.strip():
            raise InvalidError("A pull request has a title.")
        commits = [await self._git.branch(seen.repository.id, each) for each in (head, base)]
        for branch, commit in zip((head, base), commits, strict=True):
            if commit is None:
                raise NotFoundError("branch", branch)
        if head == base:
            raise InvalidError("Head and base are the same branch.")

        def job(work: Writing) -> Row:
            for other in rows.open_from(work, seen.repository.id, head):
                if other.base == base:
                    raise ConflictError(f"pull request already exists: {other.number}")
            number = rows.add(
                work,
                seen.repository.id,
                title=title,
                body=body,
                author=ask.who.name,
                head=head,
                base=base,
                head_commit=commits[0],
                base_commit=commits[1],
            )
            return _known(rows.find(work, seen.repository.id, number))

        row = await self._store.write(job)
        await self._git.keep(seen.repository.id, row.number, row.head_commit)
        await self.tell(ask.who, seen, row, "opened")
        return Answer(await self._shown(seen, row), 201)

    async def change(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Close one, open it again, or word it anew."""
        seen, row = await self._find(ask, owner, name, number)
        if seen.level < WRITE and row.author != ask.who.name:
            raise ForbiddenError("That needs write access, or that it is your own.")
        values: dict[str, Any] = {
            key: ask.text(key, most=TEXT_MAX) for key in ("title", "body") if key in ask.given
        }
        state = ask.text("state")
        if state not in ("", "open", "closed"):
            raise InvalidError("state is open or closed.")
        if state and row.state == PullState.MERGED.value:
            raise ConflictError("It was merged.", "Open another one.")
        at = self._store.clock()
        if state:
            values |= {"state": state, "closed_at": at if state == "closed" else None}

        def job(work: Writing) -> Row:
            rows.change(work, row.id, values)
            return _known(rows.find(work, seen.repository.id, row.number))

        changed = await self._store.write(job)
        if state and changed.state != row.state:
            await self.tell(ask.who, seen, changed, "closed" if state == "closed" else "reopened")
        return Answer(await self._shown(seen, changed), 201)

    async def is_merged(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Say whether it was merged, by the status alone."""
        _, row = await self._find(ask, owner, name, number)
        return Answer(status=204 if row.state == PullState.MERGED.value else 404)

    async def merge(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Merge one."""
        seen, row = await self._find(ask, owner, name, number)
        seen.require(WRITE)
        style = ask.text("Do") or ask.text("do")
        if style not in set(MergeStyle):
            raise InvalidError(f"Do is one of {', '.join(sorted(MergeStyle))}.")
        if row.state != PullState.OPEN.value:
            raise ConflictError("It is not open.", "Look at its state.")
        await self._require_approved(seen, row)
        here = seen.repository.id
        base, head = await self._git.branch(here, row.base), await self._git.branch(here, row.head)
        if base is None or head is None:
            raise ConflictError("A branch of it is gone.", "Close it.")
        merging = await self._git.merging(here, base, head)
        if merging.up_to_date:
            raise ConflictError("There is nothing to merge.", "Close it.")
        if style == MergeStyle.FAST_FORWARD.value and not merging.fast_forward:
            raise ConflictError(f"{row.base} has moved on.", "Rebase, or merge with a commit.")
        if merging.tree is None:
            raise ConflictError(
                "It conflicts with its base.", f"Merge {row.base} into {row.head}, then push."
            )
        commit = head
        if style == MergeStyle.MERGE.value:
            message = f"Merge pull request '{row.title}' (#{row.number}) from {row.head}\n"
            commit = await self._git.merge(here, merging, message, authorship(ask.who))
        await self._git.move(here, row.base, commit, base)
        await self._git.keep(here, row.number, head)

        def job(work: Writing) -> Row:
            rows.change(
                work,
                row.id,
                {
                    "state": PullState.MERGED.value,
                    "merged_by": ask.who.name,
                    "merge_commit": commit,
                    "head_commit": head,
                    "base_commit": base,
                    "closed_at": work.now,
                },
            )
            return _known(rows.find(work, here, row.number))

        merged = await self._store.write(job)
        await self.tell(ask.who, seen, merged, "closed")
        await self.pushed(ask.who, seen, f"refs/heads/{row.base}", base, commit)
        return Answer(status=200, body={})

    async def request(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Ask for reviews."""
        seen, row = await self._find(ask, owner, name, number)
        if seen.level < WRITE and row.author != ask.who.name:
            raise ForbiddenError("That needs write access, or that it is your own.")
        wanted = ask.texts("reviewers")

        def job(work: Writing) -> list[str]:
            owing = set(_requested(rows.remarks(work, row.id, reviews=True)))
            added = []
            for reviewer in wanted:
                user = forge_accounts.find(work, reviewer, is_org=False)
                if user is None:
                    raise NotFoundError("user", reviewer)
                if user.name == row.author:
                    raise InvalidError("Nobody reviews what is their own.")
                if permissions.level_in(work, user, seen.owner) < READ:
                    raise InvalidError(f"{user.name} cannot read {seen.full_name}.")
                if user.name not in owing:
                    rows.add_remark(work, row, user.name, Verdict.REQUESTED.value, "")
                    added.append(user.name)
            return added

        for reviewer in await self._store.write(job):
            more = {"requested_reviewer": shapes.name_alone(reviewer)}
            kind = "pull_request_review_request"
            await self.tell(ask.who, seen, row, "review_requested", more, kind=kind)
        return Answer([], 201)

    async def unrequest(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Ask for reviews no longer."""
        seen, row = await self._find(ask, owner, name, number)
        if seen.level < WRITE and row.author != ask.who.name:
            raise ForbiddenError("That needs write access, or that it is your own.")

        def job(work: Writing) -> None:
            for reviewer in ask.texts("reviewers"):
                rows.drop_request(work, row.id, reviewer)

        await self._store.write(job)
        return Answer(status=204)

    async def reviews(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """List reviews, owed ones included."""
        _, row = await self._find(ask, owner, name, number)
        found = await self._store.read(lambda read: rows.remarks(read, row.id, reviews=True))
        cut, headers = paged(ask, found)
        return Answer([shapes.review(one, row.head_commit) for one in cut], headers=headers)

    async def review(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Review one."""
        seen, row = await self._find(ask, owner, name, number)
        verdict, body = ask.text("event"), ask.text("body", most=TEXT_MAX)
        said = (Verdict.APPROVED, Verdict.CHANGES, Verdict.COMMENT)
        if verdict not in said or ask.given.get("comments"):
            raise InvalidError(f"event is one of {', '.join(said)}; lines are not commented here.")
        own = row.author == ask.who.name
        if row.state != PullState.OPEN.value or (own and verdict != Verdict.COMMENT.value):
            raise InvalidError("Nobody judges what is their own, or what is over.")
        if verdict != Verdict.APPROVED.value and not body.strip():
            raise InvalidError("Say something in the body.")
        remark = await self._remark(ask, seen, row, verdict, body)
        words = {"APPROVED": "approved", "REQUEST_CHANGES": "rejected", "COMMENT": "comment"}
        kind = f"pull_request_review_{words[verdict]}"
        more = {"review": {"type": kind, "content": body}}
        event = f"pull_request_{words[verdict]}"
        await self.tell(ask.who, seen, row, "reviewed", more, kind=kind, event=event)
        return Answer(shapes.review(remark, row.head_commit))

    async def comments(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """List comments."""
        _, row = await self._find(ask, owner, name, number)
        found = await self._store.read(lambda read: rows.remarks(read, row.id, reviews=False))
        return Answer([shapes.comment(one) for one in found])

    async def comment(self, ask: Ask, owner: str, name: str, number: str) -> Answer:
        """Add a comment."""
        seen, row = await self._find(ask, owner, name, number)
        body = ask.text("body", most=TEXT_MAX)
        if not body.strip():
            raise InvalidError("The comment is empty.")
        shown = shapes.comment(await self._remark(ask, seen, row, None, body))
        kind, more = "pull_request_comment", {"comment": shown, "is_pull": True}
        await self.tell(ask.who, seen, row, "created", more, kind=kind, event="issue_comment")
        return Answer(shown, 201)

    async def settle(self) -> None:
        """Bring the open ones up to date with git, which is ahead of them after a crash."""
        for row in await self._store.read(rows.every_open):
            if not self._git.path(row.repository).is_dir():
                continue  # a database from before it was deleted
            base = await self._git.branch(row.repository, row.base)
            head = await self._git.branch(row.repository, row.head)
            if base is None or head is None:
                continue
            values: dict[str, Any] = {} if head == row.head_commit else {"head_commit": head}
            merging = await self._git.merging(row.repository, base, head)
            if merging.up_to_date and base != row.base_commit:
                at = self._store.clock()
                values |= {"state": PullState.MERGED.value, "merge_commit": base, "closed_at": at}
            if values:
                await self._git.keep(row.repository, row.number, head)
                await self._store.write(partial(rows.change, pull=row.id, values=values))

    async def pushed(self, who: Row, seen: Seen, ref: str, old: str, new: str) -> None:
        """Take note of a branch that moved: its pull requests follow, webhooks are told."""
        branch, here = ref.removeprefix("refs/heads/"), seen.repository.id
        gone = set(new) == {"0"}

        def job(work: Writing) -> list[Row]:
            found = [] if gone else list(rows.open_from(work, here, branch))
            for row in found:
                rows.change(work, row.id, {"head_commit": new})
            return [_known(rows.find(work, here, row.number)) for row in found]

        if ref.startswith("refs/heads/"):
            for row in await self._store.write(job):
                await self._git.keep(here, row.number, new)
                await self.tell(who, seen, row, "synchronized", kind="pull_request_sync")
        commits = [] if gone else await self._git.commits(here, old, new, 20)
        told = {
            "ref": ref,
            "before": old,
            "after": new,
            "commits": commits,
            "repository": shapes.repository(seen, self.url, latest=self._store.clock()),
            "pusher": shapes.user(who),
            "sender": shapes.user(who),
        }
        await self._hooks.tell(seen.owner.id, "push", "push", told)

    async def tell(
        self,
        who: Row,
        seen: Seen,
        row: Row,
        action: str,
        more: dict[str, Any] | None = None,
        *,
        kind: str = "pull_request",
        event: str = "pull_request",
    ) -> None:
        """Tell webhooks of a pull request."""
        shown = await self._shown(seen, row)
        told = {
            "action": action,
            "number": row.number,
            "pull_request": shown,
            "issue": {"number": row.number, "title": row.title, "user": shown["user"]},
            "repository": shapes.repository(seen, self.url, latest=self._store.clock()),
            "sender": shapes.user(who),
            **(more or {}),
        }
        await self._hooks.tell(seen.owner.id, "pull_request", event, {**told, "kind": kind})

    async def _remark(self, ask: Ask, seen: Seen, row: Row, verdict: str | None, body: str) -> Row:
        def job(work: Writing) -> Row:
            present = _known(rows.find(work, seen.repository.id, row.number))
            number = rows.add_remark(work, present, ask.who.name, verdict, body)
            return _known(rows.remark(work, number))

        return await self._store.write(job)

    async def _require_approved(self, seen: Seen, row: Row) -> None:
        def job(read: Any) -> tuple[int, int]:
            rule = forge_repositories.protection(read, seen.repository.id, row.base)
            latest = {
                one.author: one.verdict
                for one in rows.remarks(read, row.id, reviews=True)
                if one.verdict in (Verdict.APPROVED.value, Verdict.CHANGES.value)
                and _may_write(read, one.author, seen)
            }
            given = sum(verdict == Verdict.APPROVED.value for verdict in latest.values())
            return (rule.approvals if rule is not None else 0), given

        needed, given = await self._store.read(job)
        if given < needed:
            raise ConflictError(f"It has {given} of {needed} approvals.", "Ask for a review.")

    async def _find(self, ask: Ask, owner: str, name: str, number: str) -> tuple[Seen, Row]:
        seen = await self._repositories.see(ask, owner, name)
        which = number_of("pull request", number)
        row = await self._store.read(lambda read: rows.find(read, seen.repository.id, which))
        if row is None:
            raise NotFoundError("pull request", number)
        return seen, row

    async def _shown(self, seen: Seen, row: Row) -> dict[str, Any]:
        here, mergeable = seen.repository.id, False
        if row.state == PullState.OPEN.value:
            base = await self._git.branch(here, row.base)
            if base is not None:
                merging = await self._git.merging(here, base, row.head_commit)
                mergeable = merging.tree is not None and not merging.up_to_date
        said = await self._store.read(lambda read: rows.remarks(read, row.id, reviews=True))
        return shapes.pull(row, seen, self.url, _requested(said), mergeable=mergeable)


def _may_write(read: Any, name: str, seen: Seen) -> bool:
    user = forge_accounts.find(read, name, is_org=False)
    return user is not None and permissions.level_in(read, user, seen.owner) >= WRITE


def _requested(said: Any) -> list[str]:
    return [one.author for one in said if one.verdict == Verdict.REQUESTED.value]


def _known(row: Row | None) -> Row:
    assert row is not None
    return row
