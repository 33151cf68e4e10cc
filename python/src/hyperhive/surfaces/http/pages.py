"""The page, its files, and logging in."""

import mimetypes
from pathlib import Path
from typing import Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect

import hyperhive.surfaces.dashboard
from hyperhive.domain.errors import NotFoundError
from hyperhive.services.logins import SESSION_SECONDS, Login, Logins
from hyperhive.surfaces.http.gate import login_of
from hyperhive.surfaces.http.requests import LogIn

STATIC: Final = Path(hyperhive.surfaces.dashboard.__file__).with_name("static")
Asked = Request[Any, Any, Any]


class Pages(Controller):
    """What a browser loads."""

    include_in_schema = False

    @get("/", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        """Give the page."""
        return _file("index.html")

    @get("/login", sync_to_thread=False)
    def login_page(self) -> Response[bytes]:
        """Give the page that asks for the secret."""
        return _file("login.html")

    @get("/static/{path:path}", sync_to_thread=False)
    def static(self, path: FromPath[str]) -> Response[bytes]:
        """Give one of the page's files."""
        return _file(path.lstrip("/"))

    @post(
        "/login",
        status_code=200,
        include_in_schema=True,
        tags=["login"],
        summary="Log in by the secret; sets a cookie and gives the token that changes need",
    )
    async def log_in(
        self, data: JSONBody[LogIn], request: Asked, logins: NamedDependency[Logins]
    ) -> Response[dict[str, Any]]:
        """Log a browser in by the secret."""
        login = await logins.log_in_by_secret(data.secret)
        return Response({"csrf": login.csrf}, cookies=[_cookie(request, login)])

    @get(
        "/login/{token:str}",
        include_in_schema=True,
        tags=["login"],
        summary="Log in by a one-time link; sets a cookie and leads to the page",
    )
    async def log_in_by_link(
        self, token: FromPath[str], request: Asked, logins: NamedDependency[Logins]
    ) -> Redirect:
        """Log a browser in by a one-time link."""
        login = await logins.log_in_by_link(token)
        return Redirect("/", status_code=303, cookies=[_cookie(request, login)])

    @post(
        "/logout",
        status_code=200,
        include_in_schema=True,
        tags=["login"],
        summary="End the session of the cookie",
    )
    async def log_out(
        self, request: Asked, logins: NamedDependency[Logins]
    ) -> Response[dict[str, Any]]:
        """Log a browser out."""
        login = login_of(request.scope)
        if login is not None:
            await logins.log_out(login.secret)
        gone = Cookie(key=_cookie_name(request), value="", max_age=0, path="/", httponly=True)
        return Response({}, cookies=[gone])


def _file(name: str) -> Response[bytes]:
    # Looked up among the files there are: a name that leads elsewhere, or nowhere, is not one.
    path = {file.relative_to(STATIC).as_posix(): file for file in STATIC.rglob("*.*")}.get(name)
    if path is None or not path.is_file():
        raise NotFoundError("file", name[:200])
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # Revalidated each time, so that a page never runs with modules of another version.
    return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


def _cookie_name(request: Asked) -> str:
    return str(request.scope.get("hyperhive.cookie", "hyperhive"))


def _cookie(request: Asked, login: Login) -> Cookie:
    return Cookie(
        key=_cookie_name(request),
        value=login.secret,
        max_age=int(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="lax",
    )
