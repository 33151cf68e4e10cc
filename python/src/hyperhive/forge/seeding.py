"""The first commit of the docs repository: a directory of the admin's, or the built-in template."""

import asyncio
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from hyperhive.domain.errors import UnavailableError
from hyperhive.domain.forge_plan import BRANCH, SYSTEM_ACCOUNT
from hyperhive.forge.box_files import mail_of
from hyperhive.forge.git import git

TEMPLATE: Final = "template"


async def seed(source: Path | None, url: str, header: str) -> None:
    """Push what ``source`` holds, or the template, as the one commit of an empty repository."""
    with tempfile.TemporaryDirectory(prefix="hyperhive-docs-") as room:
        place = Path(room) / "docs"
        await asyncio.to_thread(_copy, source, place)
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "hive"), ("EMAIL", mail_of(SYSTEM_ACCOUNT)))
        }
        await git("init", "--quiet", f"--initial-branch={BRANCH}", ".", cwd=place)
        await git("add", "--all", ".", cwd=place)
        await git("commit", "--quiet", "--message=The hive's documents", cwd=place, environment=who)
        await git("push", "--quiet", url, f"HEAD:refs/heads/{BRANCH}", cwd=place, header=header)


def _copy(source: Path | None, place: Path) -> None:
    if source is None:
        packed = resources.files("hyperhive.forge") / TEMPLATE
        with resources.as_file(packed) as found:
            shutil.copytree(found, place)
    elif not source.is_dir():
        raise UnavailableError(
            f"{source} is not a directory.", "Name one in forge.docs.seedDirectory."
        )
    else:
        shutil.copytree(source, place, ignore=shutil.ignore_patterns(".git"))
