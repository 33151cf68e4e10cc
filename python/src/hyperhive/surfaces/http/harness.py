"""The harness's part of an agent's socket.

A harness says hello on a connection that it keeps: the connection is its presence. Over it the
server tells what is to be done at once. All else are small requests that name the session.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hyperhive.domain.errors import HiveError, InvalidError, NotFoundError
from hyperhive.domain.turns import HEARTBEAT_SECONDS, WORK_WAIT_SECONDS_MAX
from hyperhive.services.callers import Caller
from hyperhive.services.pacing import Reported
from hyperhive.services.sessions import Session, Sessions
from hyperhive.services.turns import Turns
from hyperhive.surfaces.bounds import NUMBER_MAX, Number
from hyperhive.surfaces.disconnects import ClientGoneError, Request, whole_request
from hyperhive.surfaces.http.problems import MEDIA_TYPE, problem, problem_of
from hyperhive.surfaces.identity import agent_of

REQUEST_BYTES_MAX: Final = 1024 * 1024
PING_SECONDS: Final = 10.0
RESOURCES: Final = (
    "POST /mcp",
    "POST /deliveries/<id>/confirm",
    "POST /harness/session",
    "POST /harness/probe",
    "POST /harness/work",
    "POST /harness/heartbeat",
    "POST /harness/turns/<id>/begin",
    "POST /harness/turns/<id>/events",
    "POST /harness/turns/<id>/end",
)
SESSION_PATTERN: Final = r"[0-9a-zA-Z_-]{8,64}"
_TURN_PATH: Final = re.compile(r"/harness/turns/([0-9]{1,15})/(begin|events|end)")

ToolName = Annotated[str, Field(max_length=128)]

_log = logging.getLogger(__name__)

Body = TypeVar("Body", bound=BaseModel)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    session: str = Field(pattern=f"^{SESSION_PATTERN}$")


class Hello(_Request):
    """Who connects."""

    pid: Number
    probe: dict[str, Any] | None = None
    version: str = Field(max_length=64)


class Probed(_Request):
    """What a harness found when it looked at its box from inside, after its hello."""

    probe: dict[str, Any]


class Work(_Request):
    """How long to wait for something to do."""

    wait_seconds: float = Field(ge=0, le=WORK_WAIT_SECONDS_MAX)


class Heartbeat(_Request):
    """A sign of life from inside the loop."""

    turn: Number | None = None


class Begin(_Request):
    """The turn starts."""


class Line(BaseModel):
    """One line of a transcript; a later harness may know of kinds that this version does not."""

    model_config = ConfigDict(extra="forbid")
    n: Number
    at: float = Field(allow_inf_nan=False)
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    data: dict[str, Any]


class Lines(_Request):
    """Some lines of a transcript."""

    events: list[Line] = Field(max_length=64)

    @field_validator("events")
    @classmethod
    def _once_each(cls, events: list[Line]) -> list[Line]:
        if len({line.n for line in events}) < len(events):
            raise ValueError("two lines have the same number")
        return events


class Usage(BaseModel):
    """What a turn has used."""

    model_config = ConfigDict(extra="forbid")
    input_tokens: Number | None = None
    output_tokens: Number | None = None
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Context(BaseModel):
    """How full the model's context was at the last inference, in tokens."""

    model_config = ConfigDict(extra="forbid")
    tokens: Number
    window: Number | None = None


class End(_Request):
    """How a turn ended."""

    outcome: str = Field(max_length=64)
    error: str | None = Field(default=None, max_length=16 * 1024)
    usage: Usage | None = None
    tools: dict[ToolName, Number] = Field(default_factory=dict, max_length=200)
    context: Context | None = None
    resets_at: float | None = Field(default=None, allow_inf_nan=False)
    alerts: list[Annotated[str, Field(max_length=2000)]] = Field(default=[], max_length=20)


class HarnessEndpoint:
    """The harness part of an agent's socket, as an ASGI application.

    ``briefing`` gives what a harness is told when it says hello: which driver, which prompt;
    ``looked_into`` takes what it found when it looked at its box from inside.
    """

    def __init__(
        self,
        sessions: Sessions,
        turns: Turns,
        briefing: Callable[[str], dict[str, Any]],
        *,
        looked_into: Callable[[str, object], Awaitable[None]],
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._sessions = sessions
        self._turns = turns
        self._briefing = briefing
        self._looked_into = looked_into
        self._ping_seconds = ping_seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            async with whole_request(receive, limit_bytes=REQUEST_BYTES_MAX) as request:
                if scope["method"] != "POST":
                    raise _absent(f"{scope['method']} {scope['path']}")
                if scope["path"] == "/harness/session":
                    await self._session(agent_of(scope), request, send)
                else:
                    answer = await self._answer(agent_of(scope), scope["path"], request)
                    await _reply(send, 200, answer)
        except ClientGoneError:
            return
        except HiveError as error:
            await _reply(send, error.status, problem_of(error), media_type=MEDIA_TYPE)
        except Exception:  # noqa: BLE001 - one request must not end the connection of another
            _log.exception("a harness's request failed")
            told = problem(500, "The hive failed; its log says why.", code="internal")
            await _reply(send, 500, told, media_type=MEDIA_TYPE)

    async def _answer(self, agent: str, path: str, request: Request) -> dict[str, Any]:
        if path == "/harness/work":
            work = _parse(Work, request)
            self._sessions.require(agent, work.session)
            turn = await self._turns.offer(
                agent, work.session, wait_seconds=work.wait_seconds, caller=request.caller
            )
            return {"turn": turn}
        if path == "/harness/heartbeat":
            self._sessions.heard(agent, _parse(Heartbeat, request).session)
            return {}
        if path == "/harness/probe":
            probed = _parse(Probed, request)
            self._sessions.require(agent, probed.session)
            await self._looked_into(agent, probed.probe)
            return {}
        found = _TURN_PATH.fullmatch(path)
        if found is None:
            raise _absent(path)
        return await self._turn(agent, int(found.group(1)), found.group(2), request)

    async def _turn(self, agent: str, turn: int, step: str, request: Request) -> dict[str, Any]:
        if step == "begin":
            begin = _parse(Begin, request)
            self._sessions.require(agent, begin.session)
            await self._turns.begin(agent, begin.session, turn)
            return {}
        if step == "events":
            lines = _parse(Lines, request)
            told = [{**line.model_dump(), "data": _plain(line.data)} for line in lines.events]
            await self._turns.tell(agent, lines.session, turn, told)
            return {}
        end = _parse(End, request)
        self._sessions.require(agent, end.session)
        outcome = await self._turns.end(
            agent,
            end.session,
            turn,
            outcome=end.outcome,
            error=end.error,
            usage=end.usage.model_dump() if end.usage else {},
            tools=end.tools,
            told=Reported(
                error=end.error,
                context_tokens=end.context.tokens if end.context else None,
                context_window=end.context.window if end.context else None,
                resets_at=end.resets_at,
                alerts=tuple(end.alerts),
            ),
        )
        return {"outcome": outcome.value}

    async def _session(self, agent: str, request: Request, send: Any) -> None:
        """Keep a harness's connection, and tell it what comes up, until either side ends it."""
        hello = _parse(Hello, request)
        session = await self._sessions.hello(agent, hello.session, hello.pid)
        await self._looked_into(agent, hello.probe)
        try:
            headers = [(b"content-type", b"application/x-ndjson")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            welcome = {
                "type": "welcome",
                "heartbeat_seconds": HEARTBEAT_SECONDS,
                "turn": session.turn,
                **self._briefing(agent),
            }
            await self._stream(session, welcome, request.caller, send)
        finally:
            await asyncio.shield(self._sessions.goodbye(session))

    async def _stream(
        self, session: Session, welcome: dict[str, Any], caller: Caller, send: Any
    ) -> None:
        line: dict[str, Any] | None = welcome
        caller.when_gone(lambda: session.tell(None))
        while line is not None and not caller.gone:
            body = json.dumps(line).encode() + b"\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
            try:
                async with asyncio.timeout(self._ping_seconds):
                    line = await session.commands.get()
            except TimeoutError:
                line = {"type": "ping"}
        await send({"type": "http.response.body", "body": b""})


def _absent(what: str) -> NotFoundError:
    return NotFoundError("resource on an agent's socket", what[:200], RESOURCES)


def _plain(value: Any) -> Any:
    """Make a value of a transcript one that every reader of JSON takes.

    Numbers that are none, or that no reader holds, become text: a model may write anything.
    """
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if abs(value) <= NUMBER_MAX else str(value)
    return value


def _parse(model: type[Body], request: Request) -> Body:
    try:
        return model.model_validate_json(request.body)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise InvalidError(
            f"The request is malformed: {faults}.", "Send what a harness of this version sends."
        ) from None


async def _reply(
    send: Callable[[Any], Awaitable[None]],
    status: int,
    body: dict[str, Any],
    *,
    media_type: str = "application/json",
) -> None:
    text = json.dumps(body).encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(text)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
