"""What the rules and the reconciler need from outside; each docstring is what every twin promises.

A port has a real implementation and an embedded one, and one suite of tests holds both to the
words written here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hyperhive.domain.agents import AgentState
from hyperhive.domain.configuration import Revision
from hyperhive.domain.instances import BoxSpec, Crash, Instance, Recorded
from hyperhive.domain.plan import Action


class Clock(Protocol):
    """The time, and waiting for it."""

    def now(self) -> float:
        """Give seconds since the epoch; it may jump either way."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds, jumps of the clock notwithstanding."""
        ...


class Runtime(Protocol):
    """Where boxes run: it starts and ends them, and says truthfully which ones are there.

    Boxes outlive the server. A new runtime over the same directories finds those that an earlier
    one started, with the same incarnation, and can stop them. Calls for different names may
    overlap, and none of them waits for another; calls for one name take turns. Every call is
    idempotent, so whoever is unsure repeats it.
    """

    @property
    def isolation(self) -> str:
        """Say in a word what keeps a box from the rest of the host; ``none`` is a word."""
        ...

    async def start(self, spec: BoxSpec) -> None:
        """Run the box; return when its first process exists, not when that is ready.

        What an earlier run left is ended first. A box that already runs from an equal ``spec`` is
        left alone; from another one, `ConflictError`. A box that cannot be started raises
        `UnavailableError` with the reason, and nothing of it is left.
        """
        ...

    async def stop(self, name: str, grace_seconds: float) -> None:
        """End the box: ask its first process, and after the grace kill whatever is left of it.

        On return nothing of it runs and it is no longer observed; neither then nor meanwhile does
        it count as failed. Unknown names and boxes that have ended are fine. Processes that
        survive being killed raise `UnavailableError`, a bounded time after the grace.
        """
        ...

    async def observe(self) -> Mapping[str, Instance]:
        """See what is there, by name. Who is absent was stopped or never started.

        A box that ended by itself is ``failed`` until it is started or stopped, also to the next
        server if this one saw it. One whose end nobody saw is ``stopped``.
        """
        ...

    async def logs(self, name: str, lines: int) -> list[str]:
        """Give the last ``lines`` lines of output, oldest first, over several runs; maybe none."""
        ...

    async def changed(self) -> None:
        """Return when something may have changed since the latest `observe` began.

        A change between that and this call makes it return at once, so none is missed. An end
        is noticed within a second. Cancelling the wait loses nothing. One caller at a time.
        """
        ...


class Conditions(Protocol):
    """What is recorded of agents. It is on disk when a method returns and survives the server."""

    async def recorded(self) -> Mapping[str, Recorded]:
        """Give what is recorded of every agent that the hive knows, by name."""
        ...

    async def set_state(self, agent: str, state: AgentState, reason: str) -> None:
        """Show this state from now on; an unknown agent and an unchanged state are ignored."""
        ...

    async def record_crash(self, agent: str, crash: Crash) -> None:
        """Add a crash, unless one of the same incarnation is recorded or the agent is unknown.

        All but the latest ``crashes_worth_keeping`` of the box's restart rules may be dropped.
        """
        ...

    async def note_incarnation(self, agent: str, incarnation: str | None) -> None:
        """Record which box of an agent runs; a wish to replace another one is void then."""
        ...

    async def clear_crashes(self, agent: str) -> None:
        """Forget the agent's crashes; it has run well, or the operator starts it anew."""
        ...

    async def note_plan(self, actions: Sequence[Action]) -> None:
        """Show what is being done now; a plan that was shown last is ignored."""
        ...


class Poster(Protocol):
    """Carries a notification to wherever the operator is."""

    async def post(self, notification: Mapping[str, Any]) -> None:
        """Hand it over; return once it was taken, within a bounded time.

        Raises `UnavailableError` with the reason when it was not.
        """
        ...


class Repositories(Protocol):
    """The configurations of spawned agents: what the manager proposes, and what is deployed.

    Commits are full hashes of 40 digits. Nothing that the proposed repository holds makes these
    calls run, read or write anything but git's objects. A refusal is a `HiveError` that says what
    to do, and nothing has changed then.
    """

    async def seed(
        self, agent: str, files: Mapping[str, str], *, subject: str, manager: str
    ) -> str:
        """Make both repositories anew, with one commit of these files, and give it.

        What stood there before is removed: only for an agent that is not there yet.
        """
        ...

    async def pin(self, agent: str, commit: str) -> str:
        """Find a proposed commit by its hash or the beginning of it, and take it over.

        From then on it is an object of the deployed side, whatever becomes of the proposed one.
        Only plain files of a sensible size are let through.
        """
        ...

    async def unpin(self, agent: str, commit: str) -> None:
        """Keep a pinned commit no longer for its own sake; tags that name it go on doing so."""
        ...

    async def read(self, agent: str, commit: str, path: str) -> str | None:
        """Give the text of a file of a commit, or ``None`` where there is none."""
        ...

    async def files(self, agent: str, commit: str) -> Mapping[str, bytes]:
        """Give every file of a commit by its path, exactly as it was committed."""
        ...

    async def tree(self, agent: str, commit: str) -> str:
        """Give the hash of all files of a commit: equal for commits with the same files."""
        ...

    async def diff(self, agent: str, old: str, new: str) -> str:
        """Show the change from one commit to another, with nothing left out or made to look so."""
        ...

    async def tag(self, agent: str, name: str, commit: str, message: str = "") -> None:
        """Name a commit, with a message if one is given; a tag that is there stays as it is."""
        ...

    async def tags(self, agent: str) -> Mapping[str, str]:
        """Give all tags, each with its commit."""
        ...

    async def main(self, agent: str) -> str:
        """Give the commit that is deployed."""
        ...

    async def deploy(self, agent: str, commit: str, approval: int | None, subject: str) -> str:
        """Deploy the files of a commit, and give the deployment: the commit that `main` then is.

        It is the hive's own, made now, and follows what was deployed before and the given commit,
        in this order; so the first parents of `main` are what was deployed and nothing else. The
        approval's tag ``deployed`` comes first, then `main` moves.
        """
        ...

    async def deployed(self, agent: str, approval: int) -> str | None:
        """Give what was deployed by an approval, completing a `deploy` that was cut short."""
        ...

    async def earlier(self, agent: str, revision: str) -> str:
        """Find a deployment, by a hash, its beginning, or a tag ``deployed/N``.

        The hash is its own or that of the commit it was made from. Only plain files are let
        through, as by `pin`.
        """
        ...

    async def history(self, agent: str, limit: int) -> list[Revision]:
        """List what was deployed, newest first."""
        ...

    async def remove(self, agent: str) -> None:
        """Remove both repositories, if they are there."""
        ...


class NixReader(Protocol):
    """Whoever knows Nix expressions."""

    async def fault(self, text: str) -> str | None:
        """Say what keeps a text from being an expression; ``None`` where nothing is known to.

        Nothing in it is evaluated, and nothing that it names is read. Bounded in time and memory.
        """
        ...


class Inputs(Protocol):
    """The inputs of the flake that the systems of spawned agents are built from, as its lock."""

    async def lock(self) -> str:
        """Give the lock that is in place; empty where nothing was locked yet.

        Raises `ConflictError` where there is no flake.
        """
        ...

    async def newer(self) -> str:
        """Find the newest inputs and give the lock that says so; nothing in place changes.

        Raises `HiveError` with what Nix says, within a bounded time.
        """
        ...

    async def try_out(self, lock: str) -> None:
        """Put a lock in place, whole or not at all; the one of before is remembered.

        It is on trial until `keep` or `put_back`, also when this process dies.
        """
        ...

    async def keep(self) -> None:
        """End the trial: what is in place stays."""
        ...

    async def put_back(self) -> bool:
        """Undo what is on trial; ``False`` where nothing is."""
        ...


class Systems(Protocol):
    """The systems of spawned agents whose boxes are whole guests, each built from a commit.

    A system is known by a path. Which one is right follows from the files of the commit and from
    the flake with its lock: where any of these changes, `built` goes on to give the one of before
    until the new one is there. Building runs nothing of what it builds.
    """

    def fault(self) -> str | None:
        """Say why no system can be built here, or ``None``."""
        ...

    async def build(self, agent: str, commit: str, *, lock: str | None = None) -> None:
        """Build the system of a commit, unless it is there; nothing that runs changes.

        With a ``lock`` it is built as it will be once that lock is in place. Raises `InvalidError`
        with what Nix says of a commit that cannot be built, and `UnavailableError` for the rest.
        """
        ...

    def built(self, agent: str, commit: str) -> str:
        """Give the system of a commit; empty where none was built. Answers at once."""
        ...

    def is_current(self, agent: str, commit: str) -> bool:
        """Whether `build` would have nothing to do."""
        ...

    async def remove(self, agent: str) -> None:
        """Let go of every system that was built for an agent."""
        ...
