"""From what a server says when it refuses to the domain's errors.

The class is found by the refusal's ``code``, so `except ForbiddenError` works across the wire.
Only what every refusal carries is set: ``code``, ``status``, ``detail`` and ``remedy``; the
further facts some classes have (a size, a name) are inside the sentence.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hyperhive.domain.errors import HiveError, InvalidError, NotFoundError

_JSON_RPC_CODES: Final = {
    -32700: InvalidError,
    -32600: InvalidError,
    -32602: InvalidError,
    -32601: NotFoundError,
}
_BODY_CHARS_SHOWN: Final = 300


def refusal(code: str, status: int, detail: str, remedy: str = "") -> HiveError:
    """Build the domain's error for ``code``; one this version does not know is a `HiveError`."""
    known = next((kind for kind in _tree(HiveError) if kind.code == code), None)
    if known is None:
        known = type(HiveError.__name__, (HiveError,), {"code": code, "status": status})
    return _restored(known, detail, remedy)


def refusal_of_response(status: int, reason: str, body: bytes) -> HiveError:
    """Read an HTTP error: problem details when it has them, else its status and first words."""
    problem = _object(body)
    if "detail" in problem or "title" in problem:
        detail = str(problem.get("detail") or problem.get("title"))
        code = str(problem.get("code") or _code_of_status(status))
        return refusal(code, status, detail, str(problem.get("remedy") or ""))
    if isinstance(error := problem.get("error"), dict) and "message" in error:
        # An agent's socket words what it refuses before MCP sees it as JSON-RPC.
        return refusal(_code_of_status(status), status, str(error["message"]))
    words = body.decode("utf-8", "replace").strip()[:_BODY_CHARS_SHOWN]
    said = f": {words}" if words else "."
    return refusal(_code_of_status(status), status, f"The server answered {status} {reason}{said}")


def refusal_of_tool(result: Mapping[str, Any]) -> HiveError:
    """Read a tool result that says ``isError``.

    The model's sentence is in ``content``; a server that also says which refusal it is puts
    ``code``, ``detail`` and ``remedy`` in ``structuredContent``.
    """
    facts = result.get("structuredContent")
    if isinstance(facts, Mapping) and isinstance(facts.get("code"), str):
        detail = str(facts.get("detail") or tool_text(result))
        status = facts.get("status")
        return refusal(
            facts["code"],
            status if isinstance(status, int) else HiveError.status,
            detail,
            str(facts.get("remedy") or ""),
        )
    return HiveError(tool_text(result) or "The tool refused without a word.")


def refusal_of_rpc(error: Mapping[str, Any]) -> HiveError:
    """Read a JSON-RPC error: a refusal of the protocol, before any tool ran."""
    data = error.get("data")
    message = str(error.get("message") or "The server gave no reason.")
    if isinstance(data, Mapping) and isinstance(data.get("code"), str):
        return refusal(
            data["code"],
            HiveError.status,
            str(data.get("detail") or message),
            str(data.get("remedy") or ""),
        )
    number = error.get("code")
    kind = _JSON_RPC_CODES.get(number, HiveError) if isinstance(number, int) else HiveError
    return _restored(kind, message, "")


def tool_text(result: Mapping[str, Any]) -> str:
    """Join the texts of a tool result."""
    content = result.get("content")
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part
    )


def _restored(kind: type[HiveError], detail: str, remedy: str) -> HiveError:
    # A class builds its sentence from facts that did not cross the wire; the sentence did.
    error = kind.__new__(kind)
    HiveError.__init__(error, detail, remedy)
    return error


def _tree(root: type[HiveError]) -> Iterator[type[HiveError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


def _code_of_status(status: int) -> str:
    return next((kind.code for kind in _tree(HiveError) if kind.status == status), HiveError.code)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
