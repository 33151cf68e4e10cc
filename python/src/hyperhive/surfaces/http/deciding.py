"""What waits for somebody, over HTTP: questions, open threads, and what agents may still use."""

from typing import Annotated, Any

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from hyperhive.domain.actors import THE_OPERATOR
from hyperhive.surfaces.http.api import Asked, Number, Services
from hyperhive.surfaces.http.lifecycle import via
from hyperhive.surfaces.http.requests import AnswerQuestion

Agent = Annotated[str | None, QueryParameter(max_length=64, description="Of this agent only.")]


class QuestionsApi(Controller):
    """Questions of agents."""

    path = "/api/questions"
    tags = ("questions",)

    @get("/", summary="What is open, and the last 50 closed")
    async def questions(
        self, services: NamedDependency[Services], agent: Agent = None
    ) -> dict[str, Any]:
        """List questions, oldest first; `agent=operator` are those to the operator."""
        return await services.questions.listing(agent)

    @get("/{number:int}", summary="One question whole")
    async def show(self, number: Number, services: NamedDependency[Services]) -> dict[str, Any]:
        """Show one question."""
        return await services.questions.show(number)

    @post("/{number:int}/answer", summary="Answer a question, whoever it is for", status_code=200)
    async def answer(
        self,
        number: Number,
        request: Asked,
        services: NamedDependency[Services],
        data: JSONBody[AnswerQuestion],
    ) -> dict[str, Any]:
        """Answer; the asker is told, and whose stead it was in."""
        return await services.questions.answer(THE_OPERATOR, number, data.answer, via=via(request))

    @post("/{number:int}/cancel", summary="Withdraw an open question", status_code=200)
    async def cancel(
        self, number: Number, request: Asked, services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Cancel; the asker and whoever was asked are told."""
        return await services.questions.cancel(THE_OPERATOR, number, via=via(request))


class ThreadsApi(Controller):
    """What hangs."""

    path = "/api/threads"
    tags = ("threads",)

    @get("/", summary="What hangs on an agent, or in the whole hive")
    async def threads(
        self, services: NamedDependency[Services], agent: Agent = None
    ) -> dict[str, Any]:
        """List open threads, oldest first."""
        return await services.threads.of(agent)

    @post("/{kind:str}/{number:int}/cancel", summary="Withdraw one", status_code=200)
    async def cancel(
        self,
        kind: FromPath[str],
        number: Number,
        request: Asked,
        services: NamedDependency[Services],
    ) -> dict[str, Any]:
        """Withdraw what a thread stands for."""
        return await services.threads.cancel(THE_OPERATOR, kind, number, via=via(request))


class QuotasApi(Controller):
    """What agents may still use."""

    path = "/api/agents/{name:str}/quotas"
    tags = ("agents",)

    @get("/", summary="What an agent has used of its quotas")
    async def quotas(
        self, name: FromPath[str], services: NamedDependency[Services]
    ) -> dict[str, Any]:
        """Show every quota of an agent."""
        return {"agent": name, "quotas": await services.quotas.of(name)}
