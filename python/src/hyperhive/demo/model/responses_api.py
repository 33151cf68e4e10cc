"""OpenAI's Responses API, as far as Codex uses it."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hyperhive.demo.model.conversations import (
    BadRequestError,
    Conversation,
    ToolResult,
    objects,
    texts_of,
)
from hyperhive.demo.model.rules import Answer
from hyperhive.demo.model.script import Block, Failure, Say, Think, Usage, Use
from hyperhive.demo.model.streams import Reply, Stream, event, split

PATH: Final = "/v1/responses"
_SYSTEM_ROLES: Final = ("developer", "system")
_JOINT: Final = "__"


def read(body: Mapping[str, Any]) -> Conversation:
    """Read a request; BadRequestError when it is none."""
    items = objects(body.get("input"), "input")
    if not isinstance(body.get("model"), str):
        raise BadRequestError("model must be a text")
    names = {
        item.get("call_id"): _joined(item.get("namespace"), item.get("name"))
        for item in items
        if item.get("type") == "function_call"
    }
    results: list[ToolResult] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        text = "\n".join(texts_of(item.get("output")))
        results.insert(0, ToolResult(names.get(item.get("call_id"), ""), text, is_error=False))
    prompts = (texts_of(item.get("content")) for item in reversed(items) if _is_by(item, "user"))
    return Conversation(
        model=body["model"],
        system="\n".join(
            [
                *texts_of(body.get("instructions")),
                *(
                    text
                    for item in items
                    if _is_by(item, *_SYSTEM_ROLES)
                    for text in texts_of(item.get("content"))
                ),
            ]
        ),
        prompt="\n".join(next(prompts, [])),
        results=tuple(results),
        tools=tuple(_tools(objects(body.get("tools") or [], "tools"))),
        is_streamed=body.get("stream") is True,
    )


def reply(answer: Answer, asked: Conversation, number: int) -> Reply:
    """Put an answer into the events of a stream, and into one document."""
    identity = f"resp_{number:04}"
    response: dict[str, Any] = {"id": identity, "object": "response", "model": asked.model}
    items = [_item(block, f"{number:04}_{place}") for place, block in enumerate(answer.blocks)]
    body: list[bytes] = []
    for place, (block, item) in enumerate(zip(answer.blocks, items, strict=True)):
        started = {**item, "content": []} if "content" in item else item
        body.append(_event("response.output_item.added", output_index=place, item=started))
        if isinstance(block, Say):
            body += [
                _event(
                    "response.output_text.delta",
                    item_id=item["id"],
                    output_index=place,
                    content_index=0,
                    delta=part,
                )
                for part in split(block.text)
            ]
        body.append(_event("response.output_item.done", output_index=place, item=item))
    whole = {**response, "status": "completed", "output": items, "usage": _usage(answer.usage)}
    return Reply(
        stream=Stream(
            opening=[_event("response.created", response={**response, "status": "in_progress"})],
            body=body,
            closing=[_event("response.completed", response=whole)],
        ),
        document=whole,
    )


def failure_event(failure: Failure) -> bytes:
    """The event that ends a stream with an error."""
    error = {"code": failure.kind, "message": failure.message}
    response = {"id": "resp_failed", "object": "response", "status": "failed", "error": error}
    return _event("response.failed", response=response)


def refusal(failure: Failure) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the document of an error instead of an answer."""
    headers = {"x-request-id": "req_scripted"}
    error: dict[str, Any] = {
        "type": failure.kind,
        "code": failure.kind,
        "message": failure.message,
        "param": None,
    }
    if failure.reset_seconds is not None:
        headers["retry-after"] = str(int(failure.reset_seconds))
        error["resets_in_seconds"] = int(failure.reset_seconds)
        error["resets_at"] = int(time.time() + failure.reset_seconds)
    return headers, {"error": error}


def _event(kind: str, **data: Any) -> bytes:
    return event(kind, {"type": kind, **data})


def _is_by(item: Mapping[str, Any], *roles: str) -> bool:
    return item.get("type", "message") == "message" and item.get("role") in roles


def _joined(namespace: object, name: object) -> str:
    """A name as one text: ``mcp__hyperhive`` and ``recv`` make ``mcp__hyperhive__recv``."""
    if not namespace:
        return str(name)
    return f"{str(namespace).removesuffix(_JOINT)}{_JOINT}{name}"


def _tools(tools: list[Mapping[str, Any]], namespace: str = "") -> Iterator[str]:
    for tool in tools:
        if tool.get("type") == "namespace":
            yield from _tools(objects(tool.get("tools"), "tools"), str(tool.get("name")))
        elif "name" in tool:
            yield _joined(namespace, tool["name"])


def _item(block: Block, identity: str) -> dict[str, Any]:
    match block:
        case Say(text):
            return {
                "type": "message",
                "id": f"msg_{identity}",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        case Think(text):
            summary = [{"type": "summary_text", "text": text}]
            return {"type": "reasoning", "id": f"rs_{identity}", "summary": summary}
        case Use(tool, arguments):
            namespace, joint, name = tool.rpartition(_JOINT)
            call = {
                "type": "function_call",
                "id": f"fc_{identity}",
                "call_id": f"call_{identity}",
                "name": name if joint else tool,
                "arguments": json.dumps(arguments),
            }
            return {**call, "namespace": namespace} if joint else call


def _usage(usage: Usage) -> dict[str, Any]:
    read_tokens = usage.cache_read_tokens
    return {
        "input_tokens": usage.input_tokens + read_tokens,
        "input_tokens_details": {"cached_tokens": read_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + read_tokens + usage.output_tokens,
    }
