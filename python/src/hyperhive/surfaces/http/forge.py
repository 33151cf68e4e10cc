"""The forge, over HTTP: what is on it, new tokens, and the operator's way in."""

from typing import Any

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.surfaces.http.api import Services
from hyperhive.surfaces.http.lifecycle import Asked, via


class ForgeApi(Controller):
    """The git forge of the hive."""

    path = "/api/forge"
    tags = ("forge",)

    @get("/", summary="The forge, its pull requests, and what the hive keeps on it")
    async def forge(self, services: NamedDependency[Services]) -> dict[str, Any]:
        """Show the forge; ``forge`` is null where the hive has none."""
        return await services.forge.listing()

    @get("/repositories", summary="The repositories of the hive's organisations")
    async def repositories(self, services: NamedDependency[Services]) -> dict[str, Any]:
        """List the repositories as they were at the last look, a minute ago at most."""
        return await services.forge.repositories()

    @post("/password", summary="Another password for the operator's account", status_code=200)
    async def password(self, request: Asked, services: NamedDependency[Services]) -> dict[str, Any]:
        """Give the operator's account another password: it is told here and nowhere else."""
        return await services.forge.new_password(THE_OPERATOR, via=via(request))

    @post("/accounts/{name:str}/rotate", summary="Make an account's token anew", status_code=200)
    async def rotate(
        self, name: FromPath[str], request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Rotate a token: the one before it is void at once."""
        return await services.forge.rotate(THE_OPERATOR, name, via=via(request))
