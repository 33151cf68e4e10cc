"""A Forgejo of the tests' own: started once, from a program in ``PATH``, and ended with them."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE_SECONDS: Final = 60.0
ADMIN: Final = "tester"
SETTINGS: Final = """\
RUN_MODE = prod
WORK_PATH = {place}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {place}/forgejo.db
[repository]
ROOT = {place}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = of no use to anybody
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
MODE = file
ROOT_PATH = {place}/log
[actions]
ENABLED = false
"""


@cache
def running(program: str) -> tuple[str, str]:
    """Start it, and give its address and an administrator's token."""
    place = Path(tempfile.mkdtemp(prefix="hyperhive-forgejo-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    (place / "app.ini").write_text(SETTINGS.format(place=place, port=port, url=url))
    _ask(program, place, "migrate")
    server = subprocess.Popen(
        _command(program, place, "web"), env=_environment(place), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    atexit.register(server.wait)
    atexit.register(server.terminate)
    _wait(url, server)
    _ask(program, place, "admin", "user", "create", "--admin", "--username", ADMIN,
         "--email", f"{ADMIN}@example.org", "--random-password", "--must-change-password=false",
    )  # fmt: skip
    token = _ask(program, place, "admin", "user", "generate-access-token", "--username", ADMIN,
                 "--token-name", "tests", "--scopes", "all", "--raw",
    )  # fmt: skip
    # What it warns of stands before it.
    return url, token.split()[-1]


def _command(program: str, place: Path, *arguments: str) -> list[str]:
    return [program, *arguments, "--config", str(place / "app.ini")]


def _environment(place: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "FORGEJO_WORK_DIR": str(place),
        "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true",
    }


def _ask(program: str, place: Path, *arguments: str) -> str:
    done = subprocess.run(
        _command(program, place, *arguments), env=_environment(place), capture_output=True,
        text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, "forgejo ended as it began"
        try:
            with urlopen(f"{url}/api/healthz", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("forgejo does not answer")
