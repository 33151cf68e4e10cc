"""What a client asks of a model, in one form for every language it can be asked in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class BadRequestError(Exception):
    """The client's request is not one a model could answer."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool that the model used in its last answer."""

    tool: str
    """The tool's name as the client offered it."""
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request: all that was said so far, and what the model may use."""

    model: str
    system: str
    prompt: str
    """The newest text of the user, without the results of tools."""
    results: tuple[ToolResult, ...]
    """The results that the client brings with this request; empty after a prompt."""
    tools: tuple[str, ...]
    is_streamed: bool

    def tool_named(self, name: str) -> str:
        """Return the offered tool of that name, or the one whose name ends so after ``__``.

        A script can say ``recv`` where one client offers ``mcp__hyperhive__recv`` and the next
        puts it differently. What is not offered stays as it is: a client must cope with that.
        """
        if name in self.tools:
            return name
        return next((tool for tool in self.tools if tool.endswith(f"__{name}")), name)


def value_of(text: str) -> Any:
    """Return the JSON a tool's result is, or ends with; the text itself if there is none."""
    for start in (0, text.find("\n{") + 1):
        try:
            return json.loads(text[start:])
        except ValueError:
            continue
    return text


def texts_of(content: object) -> list[str]:
    """Return the texts of a message's content, which is a text or a list of parts."""
    match content:
        case str():
            return [content]
        case Sequence():
            return [
                part["text"]
                for part in content
                if isinstance(part, Mapping) and isinstance(part.get("text"), str)
            ]
        case _:
            return []


def objects(value: object, what: str) -> list[Mapping[str, Any]]:
    """Return a list of objects, or raise BadRequestError that names it."""
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    raise BadRequestError(f"{what} must be a list of objects")
