"""Reminders, over HTTP: all agents' for the operator to find, take back and have tried again."""

from typing import Annotated, Any

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.surfaces.http.api import Asked, Before, Limit, Number, Services
from hyperhive.surfaces.http.lifecycle import via

Moment = Annotated[
    float | None, QueryParameter(ge=0, le=1e12, description="Seconds since the epoch.")
]


class RemindersApi(Controller):
    """What agents want to be reminded of."""

    path = "/api/reminders"
    tags = ("reminders",)

    @get("/", summary="Page backwards through reminders, with the counts of each agent")
    async def page(
        self,
        services: NamedDependency[Services],
        agent: Annotated[str | None, QueryParameter(max_length=64)] = None,
        in_state: Annotated[str | None, QueryParameter(name="state", max_length=64)] = None,
        text: Annotated[str | None, QueryParameter(max_length=500)] = None,
        due_after: Moment = None,
        due_before: Moment = None,
        before: Before = None,
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """List reminders, the newest first."""
        return await services.reminders.page(
            before=before,
            limit=limit,
            agent=agent,
            state=in_state,
            text=text,
            due_after=due_after,
            due_before=due_before,
        )

    @get("/{number:int}", summary="One reminder whole, with its attempts and its last error")
    async def show(self, number: Number, services: NamedDependency[Services]) -> dict[str, Any]:
        """Show one reminder."""
        return await services.reminders.show(number)

    @post("/{number:int}/cancel", summary="Take a reminder back", status_code=200)
    async def cancel(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Cancel a reminder that was not delivered yet."""
        return await services.reminders.cancel(THE_OPERATOR, number, via=via(request))

    @post("/{number:int}/retry", summary="Try one again that was given up", status_code=200)
    async def retry(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Have a failed reminder delivered at once."""
        return await services.reminders.retry(THE_OPERATOR, number, via=via(request))
