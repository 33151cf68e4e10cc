"""The operator's application: the API, the page, errors as problem details, its own document."""

import logging
from typing import Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins.pydantic import PydanticPlugin

import hyperhive
from hyperhive.domain.errors import HiveError
from hyperhive.services.logins import Logins
from hyperhive.surfaces.http.api import AdminApi, MessagesApi, Services, State, TurnsApi
from hyperhive.surfaces.http.approvals import ApprovalsApi, InputsApi
from hyperhive.surfaces.http.deciding import QuestionsApi, QuotasApi, ThreadsApi
from hyperhive.surfaces.http.forge import ForgeApi
from hyperhive.surfaces.http.lifecycle import AgentsApi, HiveApi, Lifecycle
from hyperhive.surfaces.http.pages import Pages
from hyperhive.surfaces.http.problems import MEDIA_TYPE, problem, problem_of
from hyperhive.surfaces.http.reminders import RemindersApi

REQUEST_BYTES_MAX: Final = 1024 * 1024

_log = logging.getLogger(__name__)


def operator_app(services: Services, logins: Logins, lifecycle: Lifecycle) -> Litestar:
    """Build the application that the gate and the admin socket lead to."""
    return Litestar(
        route_handlers=[
            *(QuestionsApi, ThreadsApi, QuotasApi, ApprovalsApi, InputsApi, ForgeApi),
            *(State, MessagesApi, RemindersApi, TurnsApi, AgentsApi, HiveApi, AdminApi, Pages),
        ],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "logins": Provide(lambda: logins, sync_to_thread=False),
            "lifecycle": Provide(lambda: lifecycle, sync_to_thread=False),
        },
        exception_handlers={
            HiveError: _refused,
            ValidationException: _malformed,
            HTTPException: _http,
            UnicodeDecodeError: _unreadable,
            RecursionError: _unreadable,
            Exception: _failed,
        },
        openapi_config=OpenAPIConfig(
            title="Hyperhive",
            version=hyperhive.__version__,
            openapi_router=Router(
                "/api", route_handlers=[], include_in_schema=False, after_request=_as_problem
            ),
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            use_handler_docstrings=True,
        ),
        plugins=[PydanticPlugin(validate_strict=True)],
        request_max_body_size=REQUEST_BYTES_MAX,
        logging_config=None,
        debug=False,
    )


def _problem(body: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(body, status_code=body["status"], media_type=MEDIA_TYPE)


def _as_problem(response: Response[Any]) -> Response[Any]:
    """Replace the page that the framework shows for what is not beside the API's document."""
    if response.status_code != 404:
        return response
    return _problem(problem(404, "There is nothing here.", code="not_found"))


def _refused(_request: Request[Any, Any, Any], error: HiveError) -> Response[dict[str, Any]]:
    return _problem(problem_of(error))


def _malformed(
    _request: Request[Any, Any, Any], error: ValidationException
) -> Response[dict[str, Any]]:
    faults: Any = error.extra if isinstance(error.extra, list) else []
    said = "; ".join(
        f"{fault.get('key', 'request')}: {fault.get('message', 'is wrong')}"
        for fault in faults
        if isinstance(fault, dict)
    )
    return _problem(problem(400, said or error.detail, code="invalid"))


def _unreadable(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Answer a body that the JSON reader chokes on instead of refusing it."""
    _log.warning("%s %s was not read", request.method, request.url.path, exc_info=error)
    told = "The body is not UTF-8." if isinstance(error, UnicodeDecodeError) else "Too deep."
    return _problem(problem(400, f"The request cannot be read: {told}", code="invalid"))


def _http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status_code, "invalid" if error.status_code < 500 else "internal")
    return _problem(problem(error.status_code, error.detail, code=code))


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    told = "The hive failed; its log says why."
    return _problem(problem(500, told, code="internal"))
