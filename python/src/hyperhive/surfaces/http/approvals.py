"""The operator's decisions over HTTP: what waits, exactly what it asks for, yes and no."""

from typing import Annotated, Any

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.domain.approvals import ApprovalState
from hyperhive.domain.errors import InvalidError
from hyperhive.surfaces.http.api import Before, Limit, Number, Services
from hyperhive.surfaces.http.lifecycle import Asked, Lifecycle, via
from hyperhive.surfaces.http.requests import Approve, Deny


class ApprovalsApi(Controller):
    """What waits for the operator's yes, and what became of it."""

    path = "/api/approvals"
    tags = ("approvals",)

    @get("/", summary="Page backwards through approvals")
    async def approvals(
        self,
        services: NamedDependency[Services],
        before: Before = None,
        limit: Limit = 50,
        in_state: Annotated[str | None, QueryParameter(name="state", max_length=64)] = None,
        requester: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> dict[str, Any]:
        """List approvals, newest first."""
        try:
            wanted = ApprovalState(in_state) if in_state is not None else None
        except ValueError:
            states = ", ".join(known.value for known in ApprovalState)
            raise InvalidError(f"There is no state {in_state!r}.", f"Known: {states}.") from None
        return await services.approvals.listing(
            before=before, limit=limit, state=wanted, requester=requester
        )

    @get("/{number:int}", summary="One approval, with exactly what its digest is of")
    async def approval(self, number: Number, services: NamedDependency[Services]) -> dict[str, Any]:
        """Show one approval."""
        return await services.approvals.show(number)

    @post("/{number:int}/approve", summary="Say yes to what the digest is of", status_code=200)
    async def approve(
        self,
        number: Number,
        request: Asked,
        services: NamedDependency[Services],
        data: JSONBody[Approve],
    ) -> dict[str, Any]:
        """Approve; it is carried out after this has answered, and the stream tells how it went."""
        return await services.approvals.approve(THE_OPERATOR, number, data.digest, via=via(request))

    @post("/{number:int}/deny", summary="Say no, with a note", status_code=200)
    async def deny(
        self,
        number: Number,
        request: Asked,
        services: NamedDependency[Services],
        data: JSONBody[Deny],
    ) -> dict[str, Any]:
        """Deny; whoever asked is told the note."""
        return await services.approvals.deny(THE_OPERATOR, number, data.note, via=via(request))

    @post("/{number:int}/cancel", summary="Withdraw what nobody has decided", status_code=200)
    async def cancel(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Cancel, on behalf of whoever asked."""
        return await services.approvals.cancel(THE_OPERATOR, number, via=via(request))


class InputsApi(Controller):
    """What the systems of spawned agents are built from."""

    path = "/api/hive"
    tags = ("hive",)

    @post("/update-inputs", summary="Ask for newer inputs of spawned agents", status_code=200)
    async def update_inputs(
        self, request: Asked, lifecycle: NamedDependency[Lifecycle]
    ) -> dict[str, Any]:
        """Make an approval that shows what would change; refused where there is no flake."""
        return await lifecycle.inputs.request(THE_OPERATOR, via=via(request))
