"""Publish the declaration's schema and reference: ``python -m hyperhive.config.schema DOCS``.

Writes ``hive.schema.json`` and the part of ``declaration.md`` below its marker into the directory
DOCS. Both are made of the models' descriptions, so they cannot disagree with what is checked.
"""

import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic.fields import FieldInfo

from hyperhive.config.agents import AgentQuotas, AgentRestart
from hyperhive.config.hive import Hive
from hyperhive.config.shape import keys, tables
from hyperhive.config.values import Table

MARKER: Final = "<!-- What follows is written by `python -m hyperhive.config.schema docs`. -->\n"

_INHERITING: Final = frozenset({AgentQuotas, AgentRestart})
_KINDS: Final = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
}


def schema() -> str:
    """The JSON Schema of a declaration, as text."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Hive.model_json_schema(by_alias=True),
        "title": "Declaration of a hive",
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def reference() -> str:
    """The Markdown tables of every key with its kind, default and meaning."""
    lines = [line for path, table in tables() for line in _section(path, table)]
    return "\n".join(lines)


def publish(docs: Path) -> None:
    """Write the schema and the generated part of the reference into ``docs``."""
    (docs / "hive.schema.json").write_text(schema(), encoding="utf-8")
    page = docs / "declaration.md"
    head, marker, _ = page.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise SystemExit(f"{page} has no marker; put this line where the tables go:\n{MARKER}")
    page.write_text(f"{head}{MARKER}\n{reference()}", encoding="utf-8")


def _section(path: str, table: type[Table]) -> Iterator[str]:
    yield f"## `{path}`" if path else "## Top level"
    yield ""
    yield (table.__doc__ or "").strip()
    yield ""
    yield "| Key | Kind | Default | Meaning |"
    yield "|---|---|---|---|"
    for key, field in keys(table).items():
        kind = f"{_kind(field.annotation)}{_range(table, key)}"
        default = _default(field, inherits=table in _INHERITING)
        yield f"| `{key}` | {kind} | {default} | {field.description} |"
    yield ""


def _default(field: FieldInfo, *, inherits: bool) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None:
            return "the hive's" if inherits else "unset"
        case Table():
            return "see below"
        case _ if value in ("", (), {}):
            return "empty"
        case Enum():
            return f'`"{value.value}"`'
        case Path() | str():
            return f'`"{value}"`'
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{json.dumps(value)}`"


def _range(table: type[Table], key: str) -> str:
    published = table.model_json_schema(by_alias=True)["properties"][key]
    bounds = published.get("anyOf", [published])[0]
    match bounds:
        case {"minimum": low, "maximum": high}:
            return f", {low:g} to {high:.15g}"
        case {"exclusiveMinimum": low, "maximum": high}:
            return f", above {low:g}, up to {high:.15g}"
        case _:
            return ""


def _kind(annotation: Any) -> str:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    inner = [kind for kind in get_args(annotation) if kind is not NoneType]
    if get_origin(annotation) is dict:
        return f"map to {_kind(inner[1])}"
    if get_origin(annotation) is tuple:
        return f"list of {_kind(inner[0])}"
    if inner:
        return _kind(inner[0])
    if issubclass(annotation, Table):
        return "table"
    if issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return _KINDS[annotation]


if __name__ == "__main__":
    publish(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
