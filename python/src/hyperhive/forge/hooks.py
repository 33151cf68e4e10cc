"""Where the forge tells the hive that something happened: a listener of its own, on loopback.

It is not the operator's port: nobody can log in here, and all it does is ring a bell. A call is
heard if its signature is right (HMAC-SHA256 of the body under a secret that only the forge and
the hive have) and its delivery is new; what it says is then *looked up* on the forge, never
believed. So a call that is repeated or made up can cause a look and nothing else.
"""

import hmac
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
DELIVERIES_KEPT: Final = 10_000
PATH: Final = "/forge"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def mark_of(secret: str) -> str:
    """Give what tells the hive's webhooks from others, and those of another secret, too."""
    return f"{PATH}?hive={sha256(secret.encode()).hexdigest()[:12]}"


def signature(secret: str, body: bytes) -> str:
    """Sign a body as a forge does."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


class HookApp:
    """Answers the forge's calls; ``heard`` gets the event's name and what it says."""

    def __init__(self, secret: str, heard: Callable[[str, dict[str, Any]], None]) -> None:
        self._secret = secret
        self._heard = heard
        self._known: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status = await self._answer(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        if scope["path"] != PATH:
            return 404
        if scope["method"] != "POST":
            return 405
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 400
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                return 413
            if not message.get("more_body"):
                break
        given = {name.lower(): value for name, value in scope["headers"]}
        signed = given.get(b"x-gitea-signature", b"")
        if not hmac.compare_digest(signed, signature(self._secret, bytes(body)).encode()):
            return 401
        delivery = given.get(b"x-gitea-delivery", b"").decode("latin-1")
        if not self._is_new(delivery):
            return 200
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return 400
        if not isinstance(told, dict):
            return 400
        self._heard(given.get(b"x-gitea-event", b"").decode("latin-1"), told)
        return 200

    def _is_new(self, delivery: str) -> bool:
        if not delivery or delivery in self._known:
            return False
        self._known[delivery] = None
        if len(self._known) > DELIVERIES_KEPT:
            self._known.popitem(last=False)
        return True
