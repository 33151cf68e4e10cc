"""The embedded forge goes down with its server in the middle of a push, and is whole afterwards."""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.faults.hives import HiveOfProcesses, until
from tests.faults.test_forge import quarantines
from tests.promises import promise

NOTHING = '{ kind = "command", command = ["true"] }'
MEGABYTES = 30


def ready(hive: HiveOfProcesses) -> bool:
    """Say whether the forge is as declared."""
    with hive.operator() as operator:
        found = operator.forge()["forge"]
    return found is not None and found["state"] == "ready"


@promise("F6")
def test_a_forge_that_is_killed_in_mid_push_has_all_of_it_or_nothing() -> None:
    drivers = {"queen": NOTHING, "alice": NOTHING}
    with HiveOfProcesses(drivers, settings='forge = { kind = "embedded" }') as hive:
        server = hive.started(hive.serve())
        until(lambda: ready(hive), "the forge is ready")
        box, home = hive.paths.run("queen"), hive.directory / "home"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_CONFIG_SYSTEM": str(box / "gitconfig"),
            "GIT_TERMINAL_PROMPT": "0",
        }
        home.mkdir()

        def git(*arguments: str, place: Path = home) -> str:
            done = subprocess.run(
                ["git", *arguments], cwd=place, env=environment, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        docs = json.loads((box / "forge.json").read_text())["url"] + "/org-shared/docs"
        git("clone", "-q", docs, "work")
        work = home / "work"
        (work / "big").write_bytes(os.urandom(MEGABYTES << 20))
        git("add", "big", place=work)
        git("commit", "-q", "-m", "big", place=work)
        wanted = git("rev-parse", "HEAD", place=work)
        before = git("ls-remote", "origin", place=work)
        forge = hive.paths.state_dir / "forge"
        push = hive.run(
            ["git", "push", "-q", "origin", "HEAD:main"], env=environment, cwd=work, session=True
        )
        until(lambda: push.poll() is not None or quarantines(forge), "the push begins")
        server.send_signal(signal.SIGKILL)
        server.wait()
        push.wait()

        hive.started(hive.serve())
        until(lambda: ready(hive), "the forge is ready again")
        assert not quarantines(forge)
        after = git("ls-remote", "origin", place=work)
        assert after == before or wanted.strip() in after
        for repository in forge.glob("*.git"):
            git("-c", "safe.directory=*", "fsck", "--full", "--strict", place=repository)
        git("push", "-q", "origin", "HEAD:main", place=work)
        git("clone", "-q", docs, "again")
        assert (home / "again" / "big").stat().st_size == MEGABYTES << 20
