"""``tea``, the forge's command line, logged in where it is installed.

Its settings hold the token, so they are brought up to date before each turn: one that was rotated
holds from the next turn on. A failure costs the agent ``tea`` and never a turn.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hyperhive.domain.paths import FORGE_SETTINGS

LOGIN: Final = "hive"
_TOKEN_LINE: Final = re.compile(
    rf"(?P<before>^ *- name: {LOGIN}$(?:\n(?! *- name:).*)*?\n *token: )(?P<token>.*)$",
    re.MULTILINE,
)


def log_in(environment: Mapping[str, str]) -> None:
    """Log ``tea`` in with the agent's token; logins that the agent made itself stay."""
    if shutil.which("tea", path=environment.get("PATH")) is None:
        return
    socket, home = environment.get("HYPERHIVE_SOCKET"), environment.get("HOME")
    if not socket or not home:
        return
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(Path(socket).with_name(FORGE_SETTINGS).read_text(encoding="utf-8"))
        token = Path(told["token_file"]).read_text(encoding="utf-8").strip()
        base = environment.get("XDG_CONFIG_HOME") or str(Path(home) / ".config")
        _write(Path(base) / "tea" / "config.yml", told["url"], told["user"], token)


def _write(path: Path, url: str, user: str, token: str) -> None:
    try:
        present = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        present = ""
    if token in present:
        return
    if _TOKEN_LINE.search(present):
        after = _TOKEN_LINE.sub(lambda found: f"{found['before']}{token}", present, count=1)
    elif present.strip():
        return
    else:
        after = (
            f"logins:\n- name: {LOGIN}\n  url: {json.dumps(url)}\n  token: {token}\n"
            f"  default: true\n  user: {user}\n"
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(".config.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(after)
    fresh.replace(path)
