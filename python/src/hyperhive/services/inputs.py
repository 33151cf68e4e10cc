"""Newer inputs for the systems of spawned agents: asked for, shown, approved, then taken.

Boxes of the kinds process and bubblewrap run the host's own programs, and a declared container
follows the host's configuration: none of them has inputs of the hive's own. So far no spawned
agent has a flake either, and the request is refused with that reason.
"""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from hyperhive.domain.approvals import ApprovalKind, ApprovalState, Approved, Proposal
from hyperhive.domain.errors import ConflictError
from hyperhive.store import Writing
from hyperhive.store.transaction import Asking

NO_FLAKE: Final = "There are no inputs to update: no agent of this hive is built from a flake."
REMEDY: Final = (
    "Declared agents follow the host's configuration: update its flake and switch. `rebuild` makes "
    "a box anew from what is configured now."
)


def input_update() -> Proposal:
    """Ask for newer inputs."""
    return Proposal(ApprovalKind.INPUT_UPDATE, "Update the inputs of spawned agents")


class NoInputs:
    """The executor of ``input_update`` where there is no flake: it says so."""

    def refuse(self, asking: Asking, proposal: Proposal) -> None:
        """Refuse always."""
        del asking, proposal
        _refuse()

    async def carry_out(self, approved: Approved) -> Mapping[str, Any]:
        """Refuse: it was approved where there was a flake."""
        del approved
        _refuse()

    async def settle(self, approved: Approved) -> Mapping[str, Any] | None:
        """Say that it did not come to its end."""
        del approved
        return None

    def closed(self, work: Writing, approved: Approved, state: ApprovalState) -> None:
        """Write nothing more."""


def _refuse() -> NoReturn:
    raise ConflictError(NO_FLAKE, REMEDY)
