"""A webhook: notifications are posted as JSON to an address that the operator has declared.

The address is read from its file at every post, so that it can be changed, and is never logged or
shown: with most services, who knows it can write there.
"""

import asyncio
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from hyperhive.domain.errors import UnavailableError

TIMEOUT_SECONDS: Final = 10.0


class Webhook:
    """Posts to the address in a file; a redirect is not followed, for it names another secret."""

    def __init__(self, url_file: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url_file = url_file
        self._timeout_seconds = timeout_seconds

    async def post(self, notification: Mapping[str, Any]) -> None:
        """Hand a notification over; see `Poster`."""
        await asyncio.to_thread(self._post, json.dumps(notification).encode())

    def _post(self, body: bytes) -> None:
        address = self._address()
        try:
            status = self._exchange(address, body)
        except (OSError, http.client.HTTPException) as error:
            # The words of the error, never the address.
            raise UnavailableError(
                f"the webhook of operator.webhook.urlFile cannot be reached ({error}).",
                "It is tried again.",
            ) from None
        if not 200 <= status < 300:
            raise UnavailableError(
                f"the webhook of operator.webhook.urlFile answered {status}.",
                "See that the address in that file is right; it is tried again.",
            )

    def _address(self) -> SplitResult:
        try:
            address = urlsplit(self._url_file.read_text(encoding="utf-8").strip())
            is_known = (
                address.scheme in ("http", "https") and address.hostname and address.port != 0
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no address is in it"
            raise UnavailableError(
                f"{self._url_file} cannot be read: {reason}.", "Write the webhook's address there."
            ) from None
        if not is_known:
            raise UnavailableError(
                f"{self._url_file} holds no address that begins with http:// or https://.",
                "Write the webhook's address there.",
            )
        return address

    def _exchange(self, address: SplitResult, body: bytes) -> int:
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=self._timeout_seconds)
        try:
            target = (
                f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
            )
            connection.request(
                "POST", target, body, {"Content-Type": "application/json", "Connection": "close"}
            )
            return connection.getresponse().status
        finally:
            connection.close()
