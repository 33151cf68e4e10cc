"""Keeps what runs equal to what is declared, for as long as the server lives.

Level-triggered: each pass looks at everything, plans, and sets the plan in motion. A wake-up only
says "look now"; when one is lost, the next look, `LOOK_SECONDS` later at most, finds the same
difference and does the same. So starting the server, a crash of an agent, a changed declaration
and an operator's hold are one code path.

The reconciler knows processes only. It shows why an agent does not run and that it is starting or
stopping; that it is ready, busy or in need of anything is its harness's to tell, and a running
agent's state is never written here except to stop it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from hyperhive.domain.agents import AgentState
from hyperhive.domain.instances import BoxSpec, Instance, Phase, Replacement
from hyperhive.domain.plan import (
    CHANGED,
    NOTHING_RECORDED,
    Action,
    Restart,
    lost,
    next_due_seconds,
    plan,
    standings,
)
from hyperhive.domain.ports import Clock, Conditions, Runtime
from hyperhive.reconcile.apply import GRACE_SECONDS, Applier
from hyperhive.reconcile.observe import View, look

LOOK_SECONDS: Final = 5.0
"""The longest time between two looks."""

_PAUSE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Reconciler:
    """Turns the declared hive into the running one.

    ``declared`` gives the enabled agents' boxes as they are declared now; it is asked in every
    pass. ``in_order`` restarts, in good order and in its own time, the agents whose declaration
    changed, and is told of them in every pass until it has; without it they are restarted at once.
    ``again`` does so for those whose boxes went away while no server looked, told of once.
    Methods belong to the event loop's thread.
    """

    def __init__(
        self,
        runtime: Runtime,
        conditions: Conditions,
        declared: Callable[[], Mapping[str, BoxSpec]],
        clock: Clock,
        grace_seconds: float = GRACE_SECONDS,
        in_order: Callable[[tuple[str, ...]], Awaitable[None]] | None = None,
        again: Callable[[tuple[str, ...]], Awaitable[None]] | None = None,
    ) -> None:
        self._runtime = runtime
        self._again = again
        self._in_order = in_order
        self._conditions = conditions
        self._declared = declared
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._woken = asyncio.Event()
        self._wishes: dict[str, str] = {}
        self._in_hand: dict[str, Action] = {}
        self._seen: Mapping[str, Instance] = {}
        self._applier = Applier(
            runtime, conditions, clock, when_done=self._woken.set, grace_seconds=grace_seconds
        )

    def wake(self, name: str | None = None) -> None:
        """Make the loop look now; ``name`` says about whom, for the log."""
        _log.debug("woken about %s", name or "the whole hive")
        self._woken.set()

    def restart(self, name: str, reason: str) -> None:
        """Replace the box that runs now, once; where none runs this asks for nothing.

        It is not recorded: a server that dies before it is done has forgotten it.
        """
        self._wishes[name] = reason
        self.wake(name)

    def runs_as_declared(self, name: str, incarnation: str) -> bool:
        """Whether this box of an agent, as last seen, was made from what is declared now."""
        seen, spec = self._seen.get(name), self._declared().get(name)
        if seen is None or spec is None:
            return False
        return (seen.incarnation, seen.digest) == (incarnation, spec.digest)

    async def run(self) -> None:
        """Reconcile until cancelled; no error of a pass or an agent ends it. Boxes run on."""
        try:
            while True:
                try:
                    due_seconds = await self._pass()
                    await self._wait(min(due_seconds, LOOK_SECONDS))
                except Exception:  # noqa: BLE001 - the loop outlives every error
                    _log.exception("a pass failed; the hive looks again")
                    # What failed may have left the runtime's change unseen: do not spin on it.
                    await self._clock.sleep(_PAUSE_SECONDS)
        finally:
            await self._applier.cancel()

    async def pass_once(self) -> tuple[Action, ...]:
        """Make one pass, wait until all that it set in motion is done, and say what that was."""
        view, actions = await self._look_and_plan()
        await self._act(view, actions)
        await self._applier.idle()
        return actions

    async def preview(self) -> tuple[Action, ...]:
        """Say what a pass would do now, without doing it; crashes it sees are recorded."""
        _, actions = await self._look_and_plan()
        # The loop waits for changes since the latest look, and this one was not the loop's.
        self._woken.set()
        return actions

    async def observe(self) -> Mapping[str, Instance]:
        """See what runs, by name."""
        try:
            return await self._runtime.observe()
        finally:
            # The loop waits for changes since the latest look, and this one was not the loop's.
            self._woken.set()

    async def stop_all(self, reason: str) -> None:
        """End every box, for a hive that shuts down; `run` must have ended.

        Boxes are stopped side by side. Those that cannot be are logged and left.
        """
        # A start that was under way is not observed yet; stopping its agent waits for it.
        names = {*await self._runtime.observe(), *self._declared()}
        await asyncio.gather(*(self._stop_for_good(name, reason) for name in sorted(names)))

    async def _pass(self) -> float:
        if self._again is not None:
            recorded, observed = await self._conditions.recorded(), await self._runtime.observe()
            if names := lost(self._declared(), recorded, observed):
                await self._again(names)
            self._again = None
        view, actions = await self._look_and_plan()
        await self._act(view, actions)
        return next_due_seconds(view.declared, view.recorded, now=view.now)

    async def _look_and_plan(self) -> tuple[View, tuple[Action, ...]]:
        self._woken.clear()
        view = await look(
            self._declared, self._conditions, self._runtime, self._clock, self._applier.busy
        )
        self._seen = view.observed
        view = self._with_wishes(view)
        return view, plan(view.declared, view.recorded, view.observed, now=view.now)

    async def _act(self, view: View, actions: tuple[Action, ...]) -> None:
        if self._in_order is not None:
            changed = tuple(action for action in actions if _is_of_change(action, view))
            actions = tuple(action for action in actions if action not in changed)
            if changed:
                await self._in_order(tuple(action.name for action in changed))
        for action in actions:
            _log.info("%s %s: %s", type(action).__name__.lower(), action.name, action.reason)
            if isinstance(action, Restart):
                self._wishes.pop(action.name, None)
        self._applier.begin(actions, view.declared, view.observed)
        going = {**self._in_hand, **{action.name: action for action in actions}}
        self._in_hand = {name: going[name] for name in sorted(going) if name in self._applier.busy}
        found = standings(view.declared, view.recorded, view.observed, now=view.now)
        for name, standing in found.items():
            shown = view.recorded.get(name, NOTHING_RECORDED)
            if (shown.state, shown.reason) != (standing.state, standing.reason):
                await self._conditions.set_state(name, standing.state, standing.reason)
        await self._conditions.note_plan(tuple(self._in_hand.values()))

    def _with_wishes(self, view: View) -> View:
        """Bind each wish for a restart to the incarnation that runs; drop it where none does."""
        recorded = dict(view.recorded)
        for name in tuple(self._wishes):
            instance = view.observed.get(name)
            if name in self._applier.busy:
                continue
            if instance is None or instance.phase is not Phase.RUNNING:
                del self._wishes[name]
                continue
            wish = Replacement(instance.incarnation, self._wishes[name])
            recorded[name] = replace(recorded.get(name, NOTHING_RECORDED), replace=wish)
        return replace(view, recorded=recorded)

    async def _wait(self, seconds: float) -> None:
        """Return when somebody wakes the loop, the runtime changed, or the time is over."""
        waits = {
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self._runtime.changed()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in done:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _stop_for_good(self, name: str, reason: str) -> None:
        try:
            await self._conditions.set_state(name, AgentState.STOPPING, reason)
            await self._runtime.stop(name, self._grace_seconds)
            await self._conditions.set_state(name, AgentState.STOPPED, reason)
        except Exception:  # noqa: BLE001 - the others are to be stopped all the same
            _log.exception("%s could not be stopped", name)


def _is_of_change(action: Action, view: View) -> bool:
    """Whether an agent is to be restarted for its declaration alone.

    The restart in good order gives the same reason, by a wish to replace the very box that runs.
    """
    if not isinstance(action, Restart) or action.reason != CHANGED:
        return False
    wish = view.recorded.get(action.name, NOTHING_RECORDED).replace
    return wish is None or wish.incarnation != view.observed[action.name].incarnation
