"""What a tool is: its words, its arguments and what it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from hyperhive.surfaces.mcp.calls import Call


class Arguments(BaseModel):
    """What a tool takes; anything else is refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as an agent meets it, and what it does."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Call, Any], Awaitable[dict[str, Any]]]
    reads_only: bool = False
    is_text_only: bool = False
    """Whether its result goes out as text alone: not every program that reads it takes both."""
