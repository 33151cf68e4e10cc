"""The embedded forge's webhooks: told of what happened, signed, a few times if need be.

What waits to be delivered is kept in memory: whoever must not miss anything polls as well.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from hyperhive.domain.errors import InvalidError, NotFoundError
from hyperhive.forge.embedded import permissions, shapes
from hyperhive.forge.embedded.requests import Answer, Ask, number_of, paged
from hyperhive.store import Reading, Row, Store, Writing
from hyperhive.store import forge_repositories as rows
from hyperhive.store.transaction import dumps

TRIES: Final = (0.0, 1.0, 5.0, 25.0)
"""Seconds before each attempt to deliver."""
ANSWER_SECONDS: Final = 5.0
WAITING_MAX: Final = 1000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""


class Hooks:
    """Keeps webhooks, and delivers to them until it is closed."""

    def __init__(self, store: Store, tries: tuple[float, ...] = TRIES) -> None:
        self._store = store
        self._tries = tries
        self._under_way: set[asyncio.Task[None]] = set()
        self._open = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    async def listed(self, ask: Ask, name: str) -> Answer:
        """List an organisation's webhooks."""

        def job(read: Reading) -> Any:
            return rows.hooks(read, permissions.org(read, ask.who, name, owner=True).id)

        cut, headers = paged(ask, await self._store.read(job))
        return Answer([shapes.hook(row) for row in cut], headers=headers)

    async def create(self, ask: Ask, name: str) -> Answer:
        """Add a webhook."""
        url, secret = _target(ask)
        events = ask.texts("events") or ["push"]

        def job(work: Writing) -> Row:
            held = permissions.org(work, ask.who, name, owner=True)
            number = rows.add_hook(
                work, held.id, url=url, secret=secret, events=events, active=ask.flag("active")
            )
            return _known(rows.hook(work, held.id, number), number)

        return Answer(shapes.hook(await self._store.write(job)), 201)

    async def change(self, ask: Ask, name: str, number: str) -> Answer:
        """Change a webhook."""
        which = number_of("webhook", number)
        values: dict[str, Any] = {}
        if "config" in ask.given:
            values["url"], values["secret"] = _target(ask)
        if "events" in ask.given:
            values["events_json"] = dumps(sorted(ask.texts("events")))
        if "active" in ask.given:
            values["active"] = ask.flag("active")

        def job(work: Writing) -> Row:
            held = permissions.org(work, ask.who, name, owner=True)
            row = _known(rows.hook(work, held.id, which), which)
            rows.change_hook(work, row.id, values)
            return _known(rows.hook(work, held.id, which), which)

        return Answer(shapes.hook(await self._store.write(job)))

    async def remove(self, ask: Ask, name: str, number: str) -> Answer:
        """Remove a webhook."""
        which = number_of("webhook", number)

        def job(work: Writing) -> None:
            held = permissions.org(work, ask.who, name, owner=True)
            if not rows.remove_hook(work, held.id, which):
                raise NotFoundError("webhook", which)

        await self._store.write(job)
        return Answer(status=204)

    async def tell(self, org: int, kind: str, kind_of: str, told: Mapping[str, Any]) -> None:
        """Start delivering to every webhook of ``org`` that wants to hear of ``kind``."""
        found = await self._store.read(lambda read: rows.hooks(read, org))
        body = json.dumps(told).encode()
        for row in found:
            if row.active and kind in json.loads(row.events_json):
                if len(self._under_way) >= WAITING_MAX:
                    return
                task = asyncio.create_task(self._deliver(row, kind_of, kind, body))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Deliver nothing more."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _deliver(self, hook: Row, event: str, kind: str, body: bytes) -> None:
        signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
        delivery = secrets.token_hex(16)
        request = urllib.request.Request(hook.url, body, method="POST")  # noqa: S310 - checked
        for key, value in {
            "Content-Type": "application/json",
            "X-Gitea-Delivery": delivery,
            "X-Gitea-Event": event,
            "X-Gitea-Event-Type": kind,
            "X-Gitea-Signature": signature,
            "X-Hub-Signature-256": f"sha256={signature}",
        }.items():
            request.add_header(key, value)
        for wait in self._tries:
            await asyncio.sleep(wait)
            if await asyncio.to_thread(self._post, request):
                return

    def _post(self, request: urllib.request.Request) -> bool:
        try:
            with self._open.open(request, timeout=ANSWER_SECONDS):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return error.code < 500
        except (OSError, ValueError):
            return False


def _target(ask: Ask) -> tuple[str, str]:
    config = ask.given.get("config")
    if not isinstance(config, dict):
        raise InvalidError("The webhook has no config.")
    url, secret = config.get("url"), config.get("secret", "")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError("config.url is no http address.")
    if not isinstance(secret, str):
        raise InvalidError("config.secret is not a text.")
    return url, secret


def _known(row: Row | None, number: int) -> Row:
    if row is None:
        raise NotFoundError("webhook", number)
    return row
