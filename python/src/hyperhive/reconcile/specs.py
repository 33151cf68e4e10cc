"""From the declaration to boxes: what should run for each enabled agent, and how closed."""

import sys
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from hyperhive.config import Agent, DriverKind, Hive, Network, RestartPolicy, StateAccess
from hyperhive.domain.backoff import RestartRules
from hyperhive.domain.confinement import (
    BUBBLEWRAP,
    CREDENTIALS,
    NIXOS_CONTAINER,
    PROCESS,
    Confinement,
    Limits,
    Mount,
)
from hyperhive.domain.instances import BoxSpec
from hyperhive.domain.paths import HivePaths

HARNESS: Final = (sys.executable, "-P", "-m", "hyperhive.harness")
KINDS: Final = (PROCESS, BUBBLEWRAP, NIXOS_CONTAINER)
_PROGRAMS: Final[Mapping[DriverKind, tuple[str, ...]]] = {
    DriverKind.CLAUDE: ("claude", "node"),
    DriverKind.CODEX: ("codex", "node"),
}
"""What a driver runs unless its command names something else."""
_TOLD: Final = {"driver", "driver_tools", "system_prompt", "extra_mcp_servers", "credentials"}
"""What a harness learns when it says hello: a change of it restarts the agent."""


def box_specs(
    hive: Hive,
    kinds: Collection[str] = KINDS,
    *,
    harness: tuple[str, ...] = HARNESS,
    systems: Mapping[str, str] = MappingProxyType({}),
    built: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, BoxSpec]:
    """Say what should run, by agent.

    ``kinds`` are the kinds of box that can be made here. An agent that is declared for another
    does not run at all: never in less of a box than its declaration says. ``systems`` is what the
    host has configured for the boxes that it makes itself, by agent; in those it is the guest that
    says which harness runs. ``built`` are the systems that are to be put in place for some of them.
    """
    return {
        agent.name: BoxSpec(
            name=agent.name,
            role=agent.role,
            argv=() if agent.runtime.value == NIXOS_CONTAINER else harness,
            state_dir=hive.state_dir,
            run_dir=hive.run_dir,
            environment=agent.environment,
            restart=restart_rules(hive, agent),
            confinement=confinement(hive, agent),
            settings=agent.model_dump_json(include=_TOLD),
            credentials=agent.credentials,
            system=systems.get(agent.name, ""),
            built=built.get(agent.name, ""),
        )
        for agent in hive.enabled_agents
        if agent.runtime.value in kinds
    }


def restart_rules(hive: Hive, agent: Agent) -> RestartRules:
    """Say when an agent that ended by itself is started again: its own rules before the hive's."""
    own, common = agent.restart, hive.restart
    never = own.policy is RestartPolicy.NEVER
    return RestartRules(
        first_delay_seconds=own.backoff_seconds or common.backoff_seconds,
        longest_delay_seconds=own.backoff_max_seconds or common.backoff_max_seconds,
        loop_crashes=1 if never else own.crash_limit or common.crash_limit,
        loop_window_seconds=own.crash_window_seconds or common.crash_window_seconds,
    )


def confinement(hive: Hive, agent: Agent) -> Confinement:
    """Say how closed an agent's box is to be."""
    command = agent.driver.command[:1]
    limits = agent.limits
    mounts = [Mount(bind.host_path, bind.mount_point, bind.is_read_only) for bind in agent.binds]
    if agent.credentials:
        kept = HivePaths(hive.state_dir, hive.run_dir).credentials(agent.name)
        mounts.append(Mount(kept, CREDENTIALS))
    if agent.driver.script is not None:
        mounts.append(Mount(agent.driver.script, agent.driver.script))
    return Confinement(
        kind=agent.runtime.value,
        mounts=tuple(mounts),
        programs=command or _PROGRAMS.get(agent.driver.kind, ()),
        has_network=agent.network is not Network.NONE,
        limits=Limits(limits.memory_bytes, limits.cpu, limits.tasks),
        manager_writes=hive.manager.state_access is StateAccess.READ_WRITE,
    )
