"""Files of an agent program: its credential, the conversation to continue, the hive's skills.

All of them lie in the box: credentials where ``HYPERHIVE_CREDENTIALS`` points, the rest in the
agent's home, which outlives turns and restarts. Nothing here ever gets onto a command line.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

CREDENTIALS: Final = "HYPERHIVE_CREDENTIALS"
DOCS: Final = "HYPERHIVE_DOCS"
CREDENTIAL_BYTES_MAX: Final = 64 * 1024

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,127}")


class CredentialError(Exception):
    """A credential is there and cannot be used; the text says which and why."""


def read_credentials(environment: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the variables for which there is a credential: a file with the variable's name.

    They are read anew for each turn, so that one that was replaced holds from the next turn on.
    """
    directory = environment.get(CREDENTIALS)
    if not directory:
        return {}
    found: dict[str, str] = {}
    for name in names:
        path = Path(directory) / name
        try:
            with path.open("rb") as file:
                text = file.read(CREDENTIAL_BYTES_MAX).decode("utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialError(f"The credential {name} cannot be read: {error}.") from error
        if not text or "\n" in text or "\0" in text:
            raise CredentialError(f"The credential {name} must be one line of text in {path}.")
        found[name] = text
    return found


@dataclass(frozen=True, slots=True)
class Conversation:
    """The conversation that the next turn continues, and what it has consumed so far."""

    id: str
    input_tokens: int = 0
    output_tokens: int = 0


class ConversationFile:
    """Remembers one conversation in the agent's home."""

    def __init__(self, home: Path, driver: str) -> None:
        self._path = home / ".hyperhive" / f"{driver}-session.json"

    def load(self) -> Conversation | None:
        """Return the conversation to continue; ``None`` begins a new one."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            conversation = Conversation(**data)
        except (OSError, ValueError, TypeError):
            return None
        counts = (conversation.input_tokens, conversation.output_tokens)
        is_whole = isinstance(conversation.id, str) and all(isinstance(n, int) for n in counts)
        # It becomes a word of a command line, where no id may look like an option.
        return conversation if is_whole and _ID.fullmatch(conversation.id) else None

    def remember(self, session: str) -> None:
        """Let the next turn continue a conversation; one that it continues already stays."""
        known = self.load()
        if known is None or known.id != session:
            self.save(Conversation(session))

    def save(self, conversation: Conversation) -> None:
        """Remember a conversation; a crash leaves the old or the new one, never half of it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(conversation)), encoding="utf-8")
        fresh.replace(self._path)

    def count(self, input_tokens: int, output_tokens: int) -> None:
        """Remember what the conversation has consumed in all."""
        if conversation := self.load():
            self.save(replace(conversation, input_tokens=input_tokens, output_tokens=output_tokens))

    def forget(self) -> None:
        """Let the next turn begin a new conversation."""
        self._path.unlink(missing_ok=True)


def link_skills(environment: Mapping[str, str], target: Path) -> None:
    """Link each of the hive's skills into the directory where the program looks for skills.

    What the agent put there itself stays, and wins over a skill of the same name. A link whose
    skill is gone is removed.
    """
    docs = environment.get(DOCS)
    if not docs:
        return
    source = Path(docs) / "skills"
    skills = {path.parent.name for path in source.glob("*/SKILL.md")}
    with contextlib.suppress(OSError):
        target.mkdir(parents=True, exist_ok=True)
        for entry in target.iterdir():
            if entry.is_symlink() and entry.readlink().parent == source:
                if entry.name in skills:
                    skills.discard(entry.name)
                else:
                    entry.unlink()
        for name in skills:
            with contextlib.suppress(FileExistsError):
                (target / name).symlink_to(source / name)
