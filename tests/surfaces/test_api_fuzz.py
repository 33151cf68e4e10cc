"""Whatever is asked of the operator's API: no failure of ours, no answer that never comes."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.promises import promise
from tests.surfaces.hives import Answer, Beside, Whole, Wire, a_hive_beside
from tests.surfaces.oddities import JSON, LIGHT, SCALARS

SECONDS = 60
HEADERS = [
    "host", "cookie", "authorization", "origin", "sec-fetch-site", "last-event-id", "range",
    "content-type", "accept", "x-hyperhive-csrf", "accept-encoding", "expect",
]  # fmt: skip


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with a_hive_beside(tmp_path_factory.mktemp("hive")) as beside:
        yield beside


@pytest.fixture(scope="module")
def operations(beside: Beside) -> list[tuple[str, str, dict[str, Any]]]:
    """Give what the API's own document says can be asked; a backup is left out as too slow."""
    document = beside.do(beside.hive.admin.get("/api/openapi.json"))
    return [
        (path, method.upper(), operation | {"components": document["components"]})
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path != "/api/backup"
    ]


def a_request(draw: Any, path: str, operation: dict[str, Any]) -> tuple[str, bytes]:
    """Make up a request that has the shape of an operation, more or less."""
    query = []
    for parameter in operation.get("parameters", []):
        value = draw(SCALARS, label=parameter["name"])
        text = value if isinstance(value, str) else json.dumps(value)
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(text or "0", safe=""))
        elif parameter["in"] == "query" and draw(st.booleans()):
            query.append(f"{quote(parameter['name'])}={quote(text, safe='')}")
    body = b""
    if "requestBody" in operation:
        body = draw(st.binary(max_size=50)) if draw(st.booleans()) else a_body(draw, operation)
    return path + ("?" + "&".join(query) if query else ""), body


def a_body(draw: Any, operation: dict[str, Any]) -> bytes:
    """Make up a JSON body with the right names and any values, and perhaps one name more."""
    (media,) = operation["requestBody"]["content"].values()
    name = media["schema"]["$ref"].rpartition("/")[2]
    fields = operation["components"]["schemas"][name]["properties"]
    body = {field: draw(JSON, label=field) for field in fields if draw(st.booleans())}
    return json.dumps(body | draw(st.dictionaries(st.text(max_size=5), JSON, max_size=1))).encode()


def check(answer: Answer) -> None:
    """See that an answer is one that the API gives."""
    assert answer.status < 500, answer
    if answer.status >= 400:
        assert answer.kind == "application/problem+json", answer
        problem = answer.json()
        assert all(problem[key] for key in ("title", "detail", "code", "remedy")), problem


async def asked(hive: Whole, method: str, target: str, body: bytes) -> None:
    """Ask, and see that there is an answer in time; of a stream, that it begins."""
    headers = {**hive.operator.headers, "content-type": "application/json"}
    async with asyncio.timeout(SECONDS), await Wire.to(hive.tcp) as wire:
        if target.startswith("/dashboard/stream"):
            status, given, _ = await wire.begin(method, target, headers=headers)
            assert status < 500
            if status < 400:
                assert given["content-type"].startswith("text/event-stream")
                return
            part = b"".join([part async for part in wire.parts()])
            check(Answer(status, given, part))
        else:
            check(await wire.ask(method, target, headers=headers, body=body))


@promise("E3")
@given(data=st.data())
@LIGHT
def test_no_request_of_the_documents_shape_is_a_failure_of_ours(
    beside: Beside, operations: list[tuple[str, str, dict[str, Any]]], data: st.DataObject
) -> None:
    path, method, operation = data.draw(st.sampled_from(operations))
    target, body = a_request(data.draw, path, operation)

    beside.do(asked(beside.hive, method, target, body))

    assert beside.errors() == []


@promise("E3")
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]),
    parts=st.lists(
        st.sampled_from(["api", "messages", "static", "login", "dashboard", "1", "..", ".", "*"])
        | st.text(max_size=12),
        max_size=5,
    ),
    body=st.binary(max_size=60),
)
@LIGHT
def test_no_address_at_all_is_a_failure_of_ours(
    beside: Beside, method: str, parts: list[str], body: bytes
) -> None:
    target = "/" + "/".join(quote(part, safe="") for part in parts)

    beside.do(asked(beside.hive, method, target, body))

    assert beside.errors() == []


@promise("I3", "E3")
@given(
    name=st.sampled_from(HEADERS),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=60),
    method=st.sampled_from(["GET", "POST"]),
    target=st.sampled_from(["/api/state", "/api/messages", "/login", "/logout", "/"]),
)
@LIGHT
def test_no_header_is_a_failure_of_ours_or_a_way_in(
    beside: Beside, name: str, value: str, method: str, target: str
) -> None:
    said = "".join(char for char in value if not char.isspace())

    answer = beside.do(beside.hive.stranger.ask(method, target, headers={name: said}))

    check(answer)
    assert answer.status >= 300 or (method, target) == ("GET", "/login")
    assert beside.errors() == []
