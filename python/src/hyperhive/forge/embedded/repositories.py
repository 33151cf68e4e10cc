"""The embedded forge's API of repositories and protected branches."""

from typing import Any

from hyperhive.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hyperhive.forge.embedded import permissions, shapes
from hyperhive.forge.embedded.git import Git, branch_fault
from hyperhive.forge.embedded.permissions import ADMIN, Seen
from hyperhive.forge.embedded.requests import Answer, Ask, paged
from hyperhive.store import Reading, Row, Store, Writing, forge_accounts
from hyperhive.store import forge_repositories as rows


class Repositories:
    """Answers what is asked about repositories."""

    def __init__(self, store: Store, git: Git) -> None:
        self._store = store
        self._git = git

    async def see(self, ask: Ask, owner: str, name: str, level: int = permissions.READ) -> Seen:
        """Find a repository that one may use so, its directory included."""
        seen = await self._store.read(lambda read: permissions.see(read, ask.who, owner, name))
        seen.require(level)
        await self._git.ensure(seen)
        return seen

    async def show(self, ask: Ask, owner: str, name: str) -> Answer:
        """Show a repository."""
        return Answer(await self._shown(ask, await self.see(ask, owner, name)))

    async def of_org(self, ask: Ask, name: str) -> Answer:
        """List the repositories of an organisation."""

        def job(read: Reading) -> list[Seen]:
            held = permissions.org(read, ask.who, name)
            level = permissions.level_in(read, ask.who, held)
            return [Seen(row, held, level) for row in rows.owned(read, held.id)]

        return await self._list(ask, await self._store.read(job))

    async def own(self, ask: Ask) -> Answer:
        """List the repositories one owns or reaches by a team."""

        def job(read: Reading) -> list[Seen]:
            holders = [ask.who, *forge_accounts.orgs_of(read, ask.who.id)]
            return [
                Seen(row, held, permissions.level_in(read, ask.who, held))
                for held in holders
                for row in rows.owned(read, held.id)
            ]

        return await self._list(ask, await self._store.read(job))

    async def create_own(self, ask: Ask) -> Answer:
        """Make a repository of one's own."""
        return await self._create(ask, ask.who.name)

    async def create_for(self, ask: Ask, owner: str) -> Answer:
        """Make a repository in somebody's name: an administrator's right."""
        return await self._create(ask, owner)

    async def create_in(self, ask: Ask, owner: str) -> Answer:
        """Make a repository in an organisation."""
        return await self._create(ask, owner)

    async def delete(self, ask: Ask, owner: str, name: str) -> Answer:
        """Remove a repository."""
        seen = await self.see(ask, owner, name, permissions.OWNER)
        self._git.condemn(seen.repository.id)
        await self._store.write(lambda work: rows.remove(work, seen.repository.id))
        await self._git.remove(seen.repository.id)
        return Answer(status=204)

    async def branches(self, ask: Ask, owner: str, name: str) -> Answer:
        """List the branches."""
        seen = await self.see(ask, owner, name)
        found = await self._git.refs(seen.repository.id, "refs/heads")
        cut, headers = paged(ask, sorted(found.items()))
        body = [{"name": ref[11:], "commit": {"id": commit}} for ref, commit in cut]
        return Answer(body, headers=headers)

    async def branch(self, ask: Ask, owner: str, name: str, branch: str) -> Answer:
        """Show a branch."""
        seen = await self.see(ask, owner, name)
        commit = await self._git.branch(seen.repository.id, branch)
        if commit is None:
            raise NotFoundError("branch", branch)
        return Answer({"name": branch, "commit": {"id": commit}})

    async def protections(self, ask: Ask, owner: str, name: str) -> Answer:
        """List the protected branches."""
        seen = await self.see(ask, owner, name, ADMIN)
        found = await self._store.read(lambda read: rows.protections(read, seen.repository.id))
        return Answer([shapes.protection(row) for row in found])

    async def protect(self, ask: Ask, owner: str, name: str) -> Answer:
        """Protect a branch that is not protected yet."""
        branch = ask.text("rule_name") or ask.text("branch_name")
        return await self._protect(ask, owner, name, branch, is_new=True)

    async def change_protection(self, ask: Ask, owner: str, name: str, branch: str) -> Answer:
        """Protect a branch otherwise."""
        return await self._protect(ask, owner, name, branch, is_new=False)

    async def unprotect(self, ask: Ask, owner: str, name: str, branch: str) -> Answer:
        """Protect a branch no longer."""
        seen = await self.see(ask, owner, name, ADMIN)

        def job(work: Writing) -> None:
            if not rows.unprotect(work, seen.repository.id, branch):
                raise NotFoundError("protected branch", branch)

        await self._store.write(job)
        return Answer(status=204)

    async def _protect(
        self, ask: Ask, owner: str, name: str, branch: str, *, is_new: bool
    ) -> Answer:
        seen = await self.see(ask, owner, name, ADMIN)
        if fault := branch_fault(branch):
            raise InvalidError(fault, "Patterns are not offered here.")
        listed = ask.flag("enable_push") and ask.flag("enable_push_whitelist")
        users = ask.texts("push_whitelist_usernames") if listed else []
        teams = ask.texts("push_whitelist_teams") if listed else []
        if ask.flag("enable_push") and not listed:
            raise InvalidError("A protected branch here names who may push.")
        approvals = ask.whole("required_approvals") or 0

        def job(work: Writing) -> Row:
            number = seen.repository.id
            present = rows.protection(work, number, branch)
            if is_new and present is not None:
                raise ForbiddenError("Branch protection already exist")
            if not is_new and present is None:
                raise NotFoundError("protected branch", branch)
            for user in users:
                if forge_accounts.find(work, user, is_org=False) is None:
                    raise InvalidError(f"There is no user {user}.")
            known = {row.key for row in forge_accounts.teams(work, seen.owner.id)}
            if not {team.lower() for team in teams} <= known:
                raise InvalidError("There is no such team.")
            rows.protect(work, number, branch, users=users, teams=teams, approvals=approvals)
            found = rows.protection(work, number, branch)
            assert found is not None
            return found

        row = await self._store.write(job)
        return Answer(shapes.protection(row), 201 if is_new else 200)

    async def _create(self, ask: Ask, owner: str) -> Answer:
        name, branch = ask.name("name"), ask.text("default_branch") or "main"
        if fault := branch_fault(branch):
            raise InvalidError(fault)

        def job(work: Writing) -> Seen:
            held = forge_accounts.find(work, owner)
            if held is None or (held.is_org and not permissions.level_in(work, ask.who, held)):
                raise NotFoundError("owner", owner)
            if held.is_org:
                if not permissions.may_create_in(work, ask.who, held):
                    raise ForbiddenError(f"You may not make repositories in {held.name}.")
            elif not (ask.who.is_admin or held.id == ask.who.id):
                raise ForbiddenError("That is not your account.")
            elif (
                held.repositories_max is not None
                and rows.count(work, held.id) >= held.repositories_max
            ):
                raise ForbiddenError(
                    f"{held.name} may own {held.repositories_max} repositories.",
                    "Make it in an organisation.",
                )
            if rows.find(work, held.id, name) is not None:
                raise ConflictError("The repository with the same name already exists.")
            number = rows.add(
                work,
                held.id,
                name,
                description=ask.text("description", most=2048),
                private=ask.flag("private"),
                default_branch=branch,
            )
            found = rows.find(work, held.id, name)
            assert found is not None and found.id == number  # noqa: PT018 - one fact
            return Seen(found, held, permissions.OWNER)

        seen = await self._store.write(job)
        number = seen.repository.id
        await self._git.ensure(seen)
        if ask.flag("auto_init"):
            await self._git.begin(number, branch, name, authorship(ask.who))
        return Answer(await self._shown(ask, seen), 201)

    async def _list(self, ask: Ask, found: list[Seen]) -> Answer:
        cut, headers = paged(ask, found)
        return Answer([await self._shown(ask, seen) for seen in cut], headers=headers)

    async def _shown(self, ask: Ask, seen: Seen) -> dict[str, Any]:
        await self._git.ensure(seen)
        latest = await self._git.latest(seen.repository.id)
        return shapes.repository(seen, ask.url, latest=latest)


def authorship(who: Row) -> dict[str, str]:
    """Say in whose name a commit is made."""
    return {
        "GIT_AUTHOR_NAME": who.full_name or who.name,
        "GIT_AUTHOR_EMAIL": who.email or f"{who.name}@forge.invalid",
    }
