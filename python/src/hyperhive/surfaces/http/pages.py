"""The page, its files, and logging in."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect

from hyperhive.services.logins import SESSION_SECONDS, Login, Logins
from hyperhive.surfaces.http import assets
from hyperhive.surfaces.http.gate import login_of
from hyperhive.surfaces.http.requests import LogIn

Asked = Request[Any, Any, Any]


class Pages(Controller):
    """What a browser loads."""

    include_in_schema = False

    @get("/", sync_to_thread=False)
    def page(self, request: Asked) -> Response[bytes]:
        """Give the page."""
        return _file(request, "index.html")

    @get("/login", sync_to_thread=False)
    def login_page(self, request: Asked) -> Response[bytes]:
        """Give the page that asks for the secret."""
        return _file(request, "login.html")

    @get("/static/{path:path}", sync_to_thread=False)
    def static(self, path: FromPath[str], request: Asked) -> Response[bytes]:
        """Give one of the page's files."""
        return _file(request, path.lstrip("/"))

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


def _file(request: Asked, name: str) -> Response[bytes]:
    given = assets.reply(
        name,
        accepted=request.headers.get("accept-encoding", ""),
        known=request.headers.get("if-none-match", ""),
    )
    return Response(
        given.body,
        status_code=given.status,
        media_type=given.media_type,
        headers=dict(given.headers),
    )


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
