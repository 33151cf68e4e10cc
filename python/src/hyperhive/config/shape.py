"""The shape of the declaration, read off its models: which keys a table has and what they hold."""

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from hyperhive.config.hive import Hive
from hyperhive.config.values import Table


def keys(table: type[Table]) -> Mapping[str, FieldInfo]:
    """The keys of a table as they are written, each with its field."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def attribute(table: type[Table], key: str) -> str:
    """The Python name of a key."""
    return next(name for name, field in table.model_fields.items() if key == (field.alias or name))


def table_in(annotation: Any) -> type[Table] | None:
    """The table that a field holds, itself or as the items of a map or list; ``None`` if none."""
    annotation = _without_none(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    if get_origin(annotation) in {dict, tuple}:
        return table_in(_items(annotation))
    return None


def table_at(place: Sequence[str | int]) -> type[Table] | None:
    """The table that a place in a declaration has; ``None`` where another value belongs."""
    annotation: Any = Hive
    for part in place:
        annotation = _without_none(annotation)
        if get_origin(annotation) in {dict, tuple}:
            annotation = _items(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, Table):
            field = keys(annotation).get(str(part))
            if field is None:
                return None
            annotation = field.annotation
        else:
            return None
    annotation = _without_none(annotation)
    is_table = isinstance(annotation, type) and issubclass(annotation, Table)
    return annotation if is_table else None


def tables() -> Iterator[tuple[str, type[Table]]]:
    """Every table with the path of its place, as in ``agents.<name>.driver``, outermost first."""
    waiting: list[tuple[str, type[Table]]] = [("", Hive)]
    while waiting:
        path, table = waiting.pop(0)
        yield path, table
        below = []
        for key, field in keys(table).items():
            inner = table_in(field.annotation)
            if inner is None:
                continue
            origin = get_origin(_without_none(field.annotation))
            items = {dict: ".<name>", tuple: "[]"}.get(origin, "") if origin else ""
            below.append((f"{path}.{key}{items}".removeprefix("."), inner))
        waiting = below + waiting


def _items(annotation: Any) -> Any:
    arguments = get_args(annotation)
    return arguments[1] if get_origin(annotation) is dict else arguments[0]


def _without_none(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    is_optional = len(kinds) == 1 and NoneType in get_args(annotation)
    return _without_none(kinds[0]) if is_optional else annotation
