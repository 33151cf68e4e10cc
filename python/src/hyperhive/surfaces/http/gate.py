"""Who may reach the operator's API by TCP: the door in front of the application.

In this order: the ``Host`` must be one of ours (a page elsewhere cannot rebind a name to us); a
bearer secret or a session cookie says who it is; with a cookie, anything that changes something
must carry the session's token and come from our own page. Every answer gets the headers that
keep foreign scripts and frames out.

What comes by the admin socket has passed the file permissions and needs none of this.
"""

import hmac
import json
from typing import Any, Final

from hyperhive.domain.errors import ForbiddenError, HiveError, UnauthorizedError
from hyperhive.services.logins import Login, Logins
from hyperhive.surfaces.http.problems import MEDIA_TYPE, problem_of
from hyperhive.surfaces.identity import came_by_admin_socket

LOGIN_KEY: Final = "hyperhive.login"
CSRF_HEADER: Final = b"x-hyperhive-csrf"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
WORKER_POLICY: Final = "default-src 'none'; script-src 'self'; connect-src 'self'"
"""Of a script: it holds for one that is run as a worker, which has a policy of its own."""
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OF_SCRIPTS: Final = (*_ALWAYS, (b"content-security-policy", WORKER_POLICY.encode()))
_OF_DOCUMENTS: Final = (
    *_ALWAYS,
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Gate:
    """Lets the operator through to the application, and nobody else."""

    def __init__(self, app: Any, logins: Logins) -> None:
        self._app = app
        self._logins = logins
        self._hosts: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self.cookie = "hyperhive"

    def guard(self, address: str, port: int, names: tuple[str, ...]) -> None:
        """Say where the door is: the bound address and port, and further names for it.

        A declared name may come with any port, as it does behind a proxy.
        """
        shown = f"[{address}]" if ":" in address else address
        self._hosts = frozenset(f"{host}:{port}" for host in (shown, *LOOPBACK))
        self._names = frozenset(name.lower() for name in names)
        self.cookie = f"hyperhive_{port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            return
        if came_by_admin_socket(scope):
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        headers = _headers_of(scope)
        scope["hyperhive.cookie"] = self.cookie
        try:
            self._check_host(headers.get(b"host", ""))
            scope[LOGIN_KEY] = await self._login(scope, headers)
        except HiveError as error:
            await _refuse(scope, guarded, error)
            return
        await self._app(scope, receive, guarded)

    def _check_host(self, host: str) -> None:
        lowered = host.lower()
        name, _, port = lowered.rpartition(":")
        with_port = name in self._names and port.isdecimal()
        if not (with_port or lowered in self._hosts or lowered in self._names):
            raise ForbiddenError(
                f"This hive does not answer to the host name {host[:200]!r}.",
                "Use the address that `hyperhive up` prints, or add it to operator.hosts.",
            )

    async def _login(self, scope: Any, headers: dict[bytes, str]) -> Login | None:
        if _is_public(scope["path"]):
            _check_origin(scope, headers)
            return await self._by_cookie(headers)
        bearer = headers.get(b"authorization", "")
        if bearer[:7].lower() == "bearer ":
            self._logins.check(bearer[7:].strip())
            return None
        login = await self._by_cookie(headers)
        if login is None:
            raise UnauthorizedError(
                "Nobody is logged in.",
                "Open the link that `hyperhive up` prints, or log in at /login.",
            )
        if scope["method"] not in SAFE_METHODS:
            _check_origin(scope, headers)
            if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), login.csrf.encode()):
                raise ForbiddenError(
                    "The request does not carry this session's token.",
                    "Send X-Hyperhive-CSRF with the token from GET /api/session.",
                )
        return login

    async def _by_cookie(self, headers: dict[bytes, str]) -> Login | None:
        # By hand: SimpleCookie gives up at the first cookie it dislikes, and programs on other
        # ports of this host set cookies that we are sent, too.
        for pair in headers.get(b"cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie and (login := await self._logins.session(value)) is not None:
                return login
        return None


def login_of(scope: Any) -> Login | None:
    """Give the browser's login that a request came with, if it came with one."""
    login: Login | None = scope.get(LOGIN_KEY)
    return login


def _headers_of(scope: Any) -> dict[bytes, str]:
    """Give the headers by name; cookies that came in several are put together."""
    headers: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        joined = name == b"cookie" and name in headers
        headers[name] = f"{headers[name]}; {text}" if joined else text
    return headers


def _is_public(path: str) -> bool:
    return path in ("/login", "/api/health") or path.startswith(("/login/", "/static/"))


def _check_origin(scope: Any, headers: dict[bytes, str]) -> None:
    """Refuse what another site's page sends, if the browser says that it does."""
    if scope["method"] in SAFE_METHODS:
        return
    origin = headers.get(b"origin")
    foreign = headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if foreign or (origin is not None and not _is_ours(origin, headers.get(b"host", ""))):
        raise ForbiddenError(
            "The request comes from another site's page.", "Do it on the hive's own page."
        )


def _is_ours(origin: str, host: str) -> bool:
    scheme, found, name = origin.partition("://")
    return scheme in ("http", "https") and bool(found) and name.lower() == host.lower()


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            present = list(message.get("headers", []))
            names = {name.lower() for name, _ in present}
            kind = next((value for name, value in present if name.lower() == b"content-type"), b"")
            added = [header for header in _headers_for(kind) if header[0] not in names]
            if b"cache-control" not in names:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*present, *added]}
        await send(message)

    return sending


def _headers_for(kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """What to say beside an answer of this media type.

    A page is made of scripts and styles by the dozen, and what is meant for documents would be a
    fifth of all that they weigh.
    """
    if kind.startswith(b"text/css"):
        return _ALWAYS
    return _OF_SCRIPTS if kind.startswith(b"text/javascript") else _OF_DOCUMENTS


async def _refuse(scope: Any, send: Any, error: HiveError) -> None:
    to_login = isinstance(error, UnauthorizedError) and scope["path"] == "/"
    if to_login:
        headers = [(b"location", b"/login"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    body = json.dumps(problem_of(error)).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
