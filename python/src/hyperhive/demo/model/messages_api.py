"""Anthropic's Messages API, as far as Claude Code uses it."""

import json
import time
from collections.abc import Mapping
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

PATH: Final = "/v1/messages"
COUNT_PATH: Final = "/v1/messages/count_tokens"


def read(body: Mapping[str, Any]) -> Conversation:
    """Read a request; BadRequestError when it is none."""
    messages = objects(body.get("messages"), "messages")
    if not isinstance(body.get("model"), str):
        raise BadRequestError("model must be a text")
    names = {
        block.get("id"): str(block.get("name"))
        for message in messages
        for block in _blocks(message)
        if block.get("type") == "tool_use"
    }
    spoken = [message for message in messages if message.get("role") != "system"]
    results = tuple(
        ToolResult(
            names.get(block.get("tool_use_id"), ""),
            "\n".join(texts_of(block.get("content"))),
            block.get("is_error") is True,
        )
        for message in spoken[-1:]
        for block in _blocks(message)
        if block.get("type") == "tool_result"
    )
    prompts = (texts_of(each.get("content")) for each in reversed(spoken) if _is_prompt(each))
    tools = objects(body.get("tools") or [], "tools")
    return Conversation(
        model=body["model"],
        system="\n".join(
            [
                *texts_of(body.get("system")),
                *(
                    text
                    for message in messages
                    if message.get("role") == "system"
                    for text in texts_of(message.get("content"))
                ),
            ]
        ),
        prompt="\n".join(next(prompts, [])),
        results=results,
        tools=tuple(str(tool.get("name")) for tool in tools),
        is_streamed=body.get("stream") is True,
    )


def reply(answer: Answer, asked: Conversation, number: int) -> Reply:
    """Put an answer into the events of a stream, and into one document."""
    uses_tool = any(isinstance(block, Use) for block in answer.blocks)
    stop = answer.stop or ("tool_use" if uses_tool else "end_turn")
    usage = _usage(answer.usage)
    message: dict[str, Any] = {
        "id": f"msg_{number:04}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    body: list[bytes] = []
    content = []
    for place, block in enumerate(answer.blocks):
        whole, empty, deltas = _block(block, f"toolu_{number:04}_{place}")
        content.append(whole)
        body.append(_event("content_block_start", index=place, content_block=empty))
        body += [_event("content_block_delta", index=place, delta=delta) for delta in deltas]
        body.append(_event("content_block_stop", index=place))
    ending = {"stop_reason": stop, "stop_sequence": None}
    return Reply(
        stream=Stream(
            opening=[_event("message_start", message=message)],
            body=body,
            closing=[
                _event("message_delta", delta=ending, usage=usage),
                _event("message_stop"),
            ],
        ),
        document={**message, **ending, "content": content, "usage": usage},
    )


def failure_event(failure: Failure) -> bytes:
    """The event that ends a stream with an error."""
    return _event("error", error={"type": failure.kind, "message": failure.message})


def refusal(failure: Failure) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the document of an error instead of an answer."""
    headers = {"request-id": "req_scripted"}
    if failure.reset_seconds is not None:
        headers |= {
            "retry-after": str(int(failure.reset_seconds)),
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": str(int(time.time() + failure.reset_seconds)),
        }
    error = {"type": failure.kind, "message": failure.message}
    return headers, {"type": "error", "error": error, "request_id": "req_scripted"}


def _event(kind: str, **data: Any) -> bytes:
    return event(kind, {"type": kind, **data})


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, Mapping)]


def _is_prompt(message: Mapping[str, Any]) -> bool:
    if message.get("role") != "user" or not texts_of(message.get("content")):
        return False
    return all(block.get("type") != "tool_result" for block in _blocks(message))


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }


def _block(block: Block, identity: str) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """A block whole, as it starts, and the pieces that follow."""
    match block:
        case Say(text):
            pieces: list[Any] = [{"type": "text_delta", "text": part} for part in split(text)]
            return {"type": "text", "text": text}, {"type": "text", "text": ""}, pieces
        case Think(text):
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            pieces = [{"type": "thinking_delta", "thinking": part} for part in split(text)]
            pieces.append({"type": "signature_delta", "signature": "c2NyaXB0ZWQ="})
            return {**empty, "thinking": text, "signature": "c2NyaXB0ZWQ="}, empty, pieces
        case Use(tool, arguments):
            call = {"type": "tool_use", "id": identity, "name": tool}
            written = json.dumps(arguments)
            pieces = [{"type": "input_json_delta", "partial_json": part} for part in split(written)]
            return {**call, "input": arguments}, {**call, "input": {}}, pieces
