"""Pending approvals as open threads."""

from typing import Any

from hyperhive.domain.actors import OPERATOR, Actor
from hyperhive.domain.threads import SHOWN_MAX, Thread, ThreadKind, summary
from hyperhive.services.approvals import Approvals
from hyperhive.store import Reading
from hyperhive.store import approvals as rows


class ApprovalThreads:
    """What an agent has asked for and the operator has not brought to an end."""

    kind = ThreadKind.APPROVAL

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def of(self, asking: Reading, agent: str | None) -> list[Thread]:
        """Give what is open, oldest first: of one requester, or all of it."""
        return [
            Thread(
                ThreadKind.APPROVAL,
                row.id,
                summary(f"{row.kind}, {row.state}", row.title),
                row.at,
                row.requester,
                OPERATOR,
            )
            for row in rows.open_of(asking, agent)[: SHOWN_MAX + 1]
        ]

    async def cancel(self, actor: Actor, number: int, *, via: str) -> dict[str, Any]:
        """Withdraw one that nobody has decided."""
        return await self._approvals.cancel(actor, number, via=via)
