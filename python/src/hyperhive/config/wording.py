"""What pydantic finds, in the words of the reference: what belongs there, what to write."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic_core import ErrorDetails

from hyperhive.config.faults import Fault, fault_at, key_path, kind_of, nearest, printable, quoted
from hyperhive.config.shape import keys, table_at, table_in
from hyperhive.config.values import REFUSED

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "greater_than_equal": ("ge", "too small", "{} or more"),
    "greater_than": ("gt", "too small", "more than {}"),
    "less_than_equal": ("le", "too large", "{} or less"),
    "less_than": ("lt", "too large", "less than {}"),
}
_MAP_KEY: Final = "[key]"


def faults_from(errors: Iterable[ErrorDetails]) -> list[Fault]:
    """Word each error once, at the place it is about."""
    return [_fault(error) for error in errors]


def _fault(error: ErrorDetails) -> Fault:
    place, value, kind = error["loc"], error["input"], error["type"]
    facts = error.get("ctx", {})
    if place[-1:] == (_MAP_KEY,) and place[-2:-1] == (value,):
        place = place[:-1]
    if kind == REFUSED:
        return fault_at(place, value, facts["message"], facts["remedy"])
    if kind == "missing":
        return _missing(place)
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "enum":
        return _unknown_choice(place, value, facts["expected"])
    if kind in _EXPECTED:
        return _wrong_kind(place, value, _EXPECTED[kind])
    if kind in _BOUNDS:
        fact, message, remedy = _BOUNDS[kind]
        bound = f"{facts[fact]:g}" if isinstance(facts[fact], float) else str(facts[fact])
        return fault_at(place, value, f"The number is {message}.", f"Write {remedy.format(bound)}.")
    if kind == "string_too_short":
        return fault_at(place, value, "The text is empty.", "Write something, or remove it.")
    if kind == "string_too_long":
        longest = facts["max_length"]
        return fault_at(
            place,
            value,
            f"The text has {len(str(value))} characters; the limit is {longest}.",
            "Shorten it.",
        )
    return fault_at(place, value, f"{printable(error['msg'])}.", "Write another value.")


def _missing(place: tuple[str | int, ...]) -> Fault:
    key = str(place[-1])
    table = table_at(place[:-1])
    field = keys(table).get(key) if table else None
    meaning = field.description if field else None
    return Fault(
        key_path(place), None, f"The key `{key}` is missing.", f"Write it: {meaning}".strip()
    )


def _unknown_key(place: tuple[str | int, ...]) -> Fault:
    key = printable(str(place[-1]))
    table = table_at(place[:-1])
    known = keys(table) if table else {}
    for outer, field in known.items():
        inner = table_in(field.annotation)
        if inner and place[-1] in keys(inner) and table_at((*place[:-1], outer)) is inner:
            home = key_path((*place[:-1], outer))
            return Fault(
                key_path(place),
                None,
                f"Unknown key `{key}`; did you mean `{outer}.{key}`?",
                f"Move it into `{home}`.",
            )
    if near := nearest(key, known):
        return Fault(
            key_path(place),
            None,
            f"Unknown key `{key}`; did you mean `{near}`?",
            f"Write `{near}`, or remove the key.",
        )
    return Fault(
        key_path(place),
        None,
        f"Unknown key `{key}`.",
        f"Remove it. The keys here are: {', '.join(known)}.",
    )


def _unknown_choice(place: tuple[str | int, ...], value: object, expected: str) -> Fault:
    choices = re.findall(r"'([^']*)'", expected)
    if not isinstance(value, str):
        return _wrong_kind(place, value, "text", f"Write one of: {', '.join(choices)}.")
    near = nearest(value, choices)
    guess = f'Did you mean "{near}"? ' if near else ""
    return fault_at(
        place,
        value,
        "This is not one of the choices.",
        f"{guess}Write one of: {', '.join(choices)}.",
    )


def _wrong_kind(
    place: tuple[str | int, ...], value: object, expected: str, remedy: str = ""
) -> Fault:
    return fault_at(
        place,
        value,
        f"This is {kind_of(value)}; {expected} belongs here.",
        remedy or _instead(place, value, expected),
    )


def _instead(place: tuple[str | int, ...], value: object, expected: str) -> str:
    if value is None:
        return "Remove the key, or give it a value."
    match expected, value:
        case (("text" | "a path"), bool() | int() | float()):
            return f"Write it in quotes: {quoted(json.dumps(value))}."
        case "a list", str() if place[-1] == "command":
            return f"Write one item for each word: {json.dumps(_words(value))}."
        case "a list", str():
            return f"Write it in brackets: [{quoted(value)}]."
        case (("a whole number" | "a number"), str()):
            return "Write the number without quotes."
        case "true or false", _:
            return "Write true or false, without quotes."
        case "a table", _ if place == ("agents",):
            return "Write a table for each agent, by name: [agents.alice]."
        case "a table", _:
            table = table_at(place)
            known = f" with the keys: {', '.join(keys(table))}" if table else ""
            return f"Write a table{known}."
        case _:
            return f"Write {expected}."


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
