"""The declaration of a hive: its models, how it is read, and everything that can be wrong with it.

``load`` and ``parse`` give a ``Hive`` that can be relied on, or a ``DeclarationError`` with every
fault at once. ``unused`` says what a valid declaration asks for that this version does not do.
"""

from hyperhive.config.agents import (
    Agent,
    AgentForge,
    AgentLimits,
    AgentQuotas,
    AgentRestart,
    Bind,
    Driver,
    DriverKind,
    McpServer,
    Network,
    RestartPolicy,
    RuntimeKind,
    Tool,
)
from hyperhive.config.faults import DeclarationError, Fault
from hyperhive.config.hive import (
    Docs,
    Forge,
    ForgeKind,
    Hive,
    Limits,
    Manager,
    Operator,
    Organisation,
    Permission,
    Quotas,
    Restart,
    RestartNote,
    Retention,
    Rollout,
    StateAccess,
    Team,
    socket_path,
)
from hyperhive.config.loading import load, parse, starting_point
from hyperhive.config.unused import OF_THE_FORGE, unused

__all__ = [
    "OF_THE_FORGE",
    "Agent",
    "AgentForge",
    "AgentLimits",
    "AgentQuotas",
    "AgentRestart",
    "Bind",
    "DeclarationError",
    "Docs",
    "Driver",
    "DriverKind",
    "Fault",
    "Forge",
    "ForgeKind",
    "Hive",
    "Limits",
    "Manager",
    "McpServer",
    "Network",
    "Operator",
    "Organisation",
    "Permission",
    "Quotas",
    "Restart",
    "RestartNote",
    "RestartPolicy",
    "Retention",
    "Rollout",
    "RuntimeKind",
    "StateAccess",
    "Team",
    "Tool",
    "load",
    "parse",
    "socket_path",
    "starting_point",
    "unused",
]
