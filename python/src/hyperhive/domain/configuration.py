"""What a spawned agent's configuration is: a commit with an ``agent.json``, and its way into force.

A commit is *proposed* by the manager, *pinned* so that nothing changes it any more, shown to the
operator against what runs, and deployed or not. Tags of the applied repository tell that story;
its branch ``main`` is what runs, and moves only when something was deployed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hyperhive.domain.errors import InvalidError

AGENT_JSON: Final = "agent.json"
AGENT_NIX: Final = "agent.nix"

FILES_MAX: Final = 100
FILE_BYTES_MAX: Final = 128 * 1024
DIFF_BYTES_MAX: Final = 128 * 1024
"""More than this nobody reads before saying yes."""

_HASH: Final = re.compile(r"[0-9a-f]{4,40}")
_ORDINARY: Final = frozenset({"100644", "100755"})
_KINDS: Final = {"120000": "a symbolic link", "160000": "a submodule"}


class Tag(StrEnum):
    """What has become of a proposal; the number of its approval follows, as in ``denied/7``."""

    PROPOSAL = "proposal"
    APPROVED = "approved"
    BUILDING = "building"
    DEPLOYED = "deployed"
    FAILED = "failed"
    DENIED = "denied"

    def of(self, approval: int) -> str:
        """Name this tag of one approval."""
        return f"{self.value}/{approval}"


@dataclass(frozen=True, slots=True)
class File:
    """An entry of a commit's tree, as git lists it; ``size`` is in bytes."""

    path: str
    mode: str
    size: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit on the way of an agent's deployments, with the tags that name it."""

    commit: str
    subject: str
    author: str
    at: float
    tags: tuple[str, ...] = ()


def require_hash(commit: str) -> str:
    """Give a commit's hash in the form that git writes; nothing else may name a commit.

    A branch or ``HEAD`` would name another commit tomorrow than the one that was looked at.
    """
    text = commit.strip().lower()
    if not _HASH.fullmatch(text):
        raise InvalidError(
            f"{shortened(commit)!r} is no hash of a commit.",
            "Give the commit's hash, of which the first 7 digits are enough: git rev-parse HEAD.",
        )
    return text


def tree_faults(files: Iterable[File]) -> Iterator[str]:
    """Say what in a commit's tree is no plain file of a sensible size, one sentence each."""
    count, has_agent = 0, False
    for file in files:
        count += 1
        has_agent = has_agent or file.path == AGENT_JSON
        name = repr(shortened(file.path))
        if file.mode not in _ORDINARY:
            kind = _KINDS.get(file.mode, f"of mode {file.mode}")
            yield f"{name} is {kind}: remove it, only plain files are deployed."
        elif file.size > FILE_BYTES_MAX:
            yield (
                f"{name} has {file.size} bytes; the limit of a file is {FILE_BYTES_MAX}: remove it "
                "or keep it in the docs repository."
            )
    if count > FILES_MAX:
        yield f"There are {count} files; the limit is {FILES_MAX}: remove what is not needed."
    if not has_agent:
        yield f"There is no {AGENT_JSON}: it says what the agent is; write it and commit it."


def readable(text: str) -> str:
    """Write a text so that nothing in it can hide or reorder what an operator reads.

    Whatever a terminal or a page would obey rather than show, such as the marks that turn the
    direction of writing, is escaped.
    """
    return "".join(
        each
        if each.isprintable() or each in "\n\t"
        else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def shortened(text: str, most: int = 80) -> str:
    """Give at most so many characters of a text, for a sentence."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
