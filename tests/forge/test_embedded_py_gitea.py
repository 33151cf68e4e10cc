"""py-gitea with its own objects, as anybody may use it, on the embedded forge."""

import asyncio
from pathlib import Path

import gitea
import httpx
import pytest

from tests.contract.forges import an_embedded_forge

pytestmark = pytest.mark.anyio

PASSWORD = "long-and-random-" + "x" * 16


def work_with(url: str, token: str) -> None:
    """Do with py-gitea's defaults what an administrator of a forge does."""
    forge = gitea.Gitea(url, token_text=token, log_level="CRITICAL")
    try:
        org = forge.create_org(forge.get_user(), "acme", "those of the test")
        dave = forge.create_user("dave", "dave@example.org", PASSWORD)
        team = forge.create_team(org, "devs")
        team.add_user(dave)
        assert [member.username for member in team.get_members()] == ["dave"]
        assert {each.name for each in org.get_teams()} == {"Owners", "devs"}

        made = forge.create_repo(org, "app")
        org.create_repo("other")
        assert made.owner.username == "acme"
        assert {each.name for each in org.get_repositories()} == {"app", "other"}
        found = gitea.Repository.request(forge, "acme", "app")
        assert [branch.name for branch in found.get_branches()] == [found.default_branch]
        found.delete()
        assert [each.name for each in org.get_repositories()] == ["other"]
    finally:
        forge.requests.close()


async def test_py_gitea_works_unchanged(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        await asyncio.to_thread(work_with, bench.admin.url, bench.secret)


async def test_a_repository_is_made_at_the_address_of_old_clients_too(tmp_path: Path) -> None:
    async with an_embedded_forge(tmp_path) as bench:
        org = await bench.org()
        headers = {"authorization": f"token {bench.secret}"}
        async with httpx.AsyncClient(base_url=bench.admin.url, headers=headers) as client:
            answer = await client.post(f"/api/v1/org/{org}/repos", json={"name": "app"})
        assert answer.status_code == 201
        assert await bench.admin.repository(org, "app") is not None
