"""What a declaration says about one agent.

The descriptions are the reference: the published JSON Schema and ``docs/declaration.md`` are made
of them.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from hyperhive.config.values import (
    BoxPath,
    Bytes,
    Cores,
    Count,
    Days,
    Dollars,
    FileName,
    Flag,
    ForgeName,
    HostPath,
    HttpUrl,
    Memory,
    Seconds,
    SecretPath,
    Table,
    Text,
    Variable,
    Whole,
    Word,
)
from hyperhive.domain.actors import Role
from hyperhive.domain.turns import TURN_LIMIT_SECONDS

_MEMORY_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class DriverKind(StrEnum):
    """What runs a turn."""

    SCRIPTED = "scripted"
    COMMAND = "command"
    CLAUDE = "claude"
    CODEX = "codex"


class PermissionPrompts(StrEnum):
    """Who decides what a driver's program asks permission for."""

    DENY = "deny"
    OPERATOR = "operator"


class RuntimeKind(StrEnum):
    """Where an agent runs."""

    PROCESS = "process"
    BUBBLEWRAP = "bubblewrap"
    NIXOS_CONTAINER = "nixos-container"


class Network(StrEnum):
    """What a box sees of the network."""

    HOST = "host"
    NONE = "none"


class RestartPolicy(StrEnum):
    """Whether an agent that ended is started again."""

    ALWAYS = "always"
    NEVER = "never"


class Tool(StrEnum):
    """A tool that the hive itself offers over MCP."""

    RECV = "recv"
    SEND = "send"
    ACK = "ack"
    ASK = "ask"
    ANSWER = "answer"
    REMIND = "remind"
    LIST_REMINDERS = "list_reminders"
    CANCEL_REMINDER = "cancel_reminder"
    CANCEL_THREAD = "cancel_thread"
    GET_OPEN_THREADS = "get_open_threads"
    LIST_AGENTS = "list_agents"
    WHOAMI = "whoami"
    SET_STATUS = "set_status"
    REQUEST_APPROVAL = "request_approval"
    MESSAGE_STATUS = "message_status"
    REQUEST_SPAWN = "request_spawn"
    REQUEST_APPLY_COMMIT = "request_apply_commit"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    REBUILD = "rebuild"
    GET_LOGS = "get_logs"
    REQUEST_UPDATE_INPUTS = "request_update_inputs"


MANAGER_TOOLS: Final = frozenset(
    {
        Tool.REQUEST_SPAWN,
        Tool.REQUEST_APPLY_COMMIT,
        Tool.START,
        Tool.STOP,
        Tool.RESTART,
        Tool.REBUILD,
        Tool.GET_LOGS,
        Tool.REQUEST_UPDATE_INPUTS,
    }
)
"""Tools that only the manager can have."""


class Driver(Table):
    """What runs the agent's turns."""

    kind: DriverKind = Field(
        description="`scripted` plays a list of tool calls without a model and costs nothing; "
        "`command` runs any program; `claude` and `codex` run those CLIs and cost model calls."
    )
    script: HostPath | None = Field(
        default=None,
        description="The script that a `scripted` driver plays. Required there, refused elsewhere.",
    )
    command: tuple[Word, ...] = Field(
        default=(),
        description="The program and its arguments, without a shell: the prompt comes on its "
        "standard input. Required by `command`; with `claude` and `codex` it replaces the CLI's "
        "own name. A program with a slash in a relative path starts from the declaration's "
        "directory, one without is looked up in `PATH`.",
    )
    model: Word | None = Field(
        default=None, description="The model that the CLI is told to use; its own choice if unset."
    )
    fallback_model: Word | None = Field(
        default=None, description="The model to use while the first is overloaded."
    )
    extra_args: tuple[Word, ...] = Field(
        default=(), description="Further arguments for the CLI, after the hive's own."
    )
    permission_prompts: PermissionPrompts = Field(
        default=PermissionPrompts.DENY,
        description="What becomes of a call of the program's own tools that `driverTools` does not "
        "cover. `deny` refuses it with a reason; `operator` (`claude` only) asks you for an "
        "approval, for which the turn waits a short while.",
    )
    turn_limit_seconds: Seconds = Field(
        default=TURN_LIMIT_SECONDS,
        description="A turn that takes longer is cancelled; its messages come back and count an "
        "attempt. A high limit lets a hung turn block the agent's inbox for that long.",
    )

    @field_validator("command")
    @classmethod
    def _program_from_base(cls, command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        base = (info.context or {}).get("base")
        if base is None or not command or "/" not in command[0]:
            return command
        return (str(Path(base) / command[0]), *command[1:])


class AgentQuotas(Table):
    """What one agent may use, where it differs from the hive's `quotas`."""

    messages_per_minute: Count | None = Field(default=None, description="Messages sent a minute.")
    broadcasts_per_minute: Whole | None = Field(
        default=None, description="Messages to `*` a minute; 0 forbids them."
    )
    open_questions: Whole | None = Field(default=None, description="Questions open at once.")
    pending_approvals: Whole | None = Field(default=None, description="Approvals pending at once.")
    pending_reminders: Whole | None = Field(default=None, description="Reminders pending at once.")
    reminder_burst: Whole | None = Field(
        default=None, description="Reminders set at once before the rate applies."
    )
    reminders_per_minute: Whole | None = Field(
        default=None, description="Reminders set a minute after the burst."
    )
    reminder_horizon_days: Days | None = Field(
        default=None, description="How far ahead a reminder may lie."
    )
    message_bytes: Bytes | None = Field(default=None, description="Bytes in a message's body.")
    reminder_bytes: Bytes | None = Field(
        default=None, description="Bytes in a reminder that is delivered without a file."
    )


class AgentLimits(Table):
    """What one agent's box may take of the host, and its turns of the budget."""

    memory: Memory | None = Field(
        default=None,
        description='Memory of the whole box, such as "2G"; unlimited if unset. An agent over it '
        "is killed in mid-turn.",
    )
    cpu: Cores | None = Field(
        default=None, description="Cores it may use, such as 1.5; unlimited if unset."
    )
    tasks: Count | None = Field(
        default=None, description="Processes and threads it may have; unlimited if unset."
    )
    spend_per_turn_usd: Dollars | None = Field(
        default=None, description="US dollars a turn may cost; unlimited if unset."
    )
    spend_per_day_usd: Dollars | None = Field(
        default=None,
        description="US dollars a day; at the limit the agent pauses until midnight or until the "
        "operator resumes it. Unlimited if unset.",
    )

    @property
    def memory_bytes(self) -> int | None:
        """The limit on memory in bytes, or ``None`` without one."""
        if self.memory is None:
            return None
        unit = _MEMORY_UNITS.get(self.memory[-1])
        return int(self.memory) if unit is None else int(self.memory[:-1]) * unit


class AgentRestart(Table):
    """How one agent is started again after it ended, where it differs from the hive's `restart`."""

    policy: RestartPolicy = Field(
        default=RestartPolicy.ALWAYS,
        description="`never` leaves an agent that ended stopped until the operator starts it; its "
        "messages wait meanwhile.",
    )
    backoff_seconds: Seconds | None = Field(
        default=None, description="The wait before the first restart."
    )
    backoff_max_seconds: Seconds | None = Field(
        default=None, description="The longest wait; each is twice the one before."
    )
    crash_limit: Count | None = Field(
        default=None, description="Crashes within the window that make a crash loop."
    )
    crash_window_seconds: Seconds | None = Field(default=None, description="That window.")


class Bind(Table):
    """A further directory or file of the host in the agent's box."""

    host_path: HostPath = Field(
        description="What to mount. Not the hive's own directories, nor one that holds them."
    )
    mount_point: BoxPath = Field(
        description="Where the agent finds it. Not within the paths that every box has."
    )
    is_read_only: Flag = Field(
        default=True,
        description="`false` lets the agent change the host's files there.",
    )


class McpServer(Table):
    """A further MCP server for the agent's CLI: a program or an address."""

    command: tuple[Word, ...] = Field(
        default=(), description="A program that speaks MCP on its standard input and output."
    )
    environment: dict[Variable, Text] = Field(
        default_factory=dict, description="Variables for that program."
    )
    url: HttpUrl | None = Field(
        default=None, description="The address of a server that is already running."
    )


class AgentForge(Table):
    """The agent's account on the forge."""

    orgs: tuple[ForgeName, ...] = Field(
        default=(), description="Organisations it joins, besides the teams that name it."
    )
    may_create_repositories: Flag = Field(
        default=True, description="Whether it may create repositories of its own."
    )


class Agent(Table):
    """One agent."""

    name: str = Field(
        default="",
        description="The key of the agent's table, which is where to write it; here it may only "
        "repeat that. 2 to 11 characters: lower-case letters, digits and single hyphens.",
    )
    role: Role = Field(
        default=Role.WORKER, description="`manager` or `worker`. Exactly one agent is the manager."
    )
    description: Text = Field(
        default="",
        max_length=500,
        description="What the agent is for, in a sentence: the other agents and the operator read "
        "it.",
    )
    enable: Flag = Field(
        default=True,
        description="`false` keeps the agent declared and stopped: it can be written to, and its "
        "messages wait.",
    )
    driver: Driver = Field(description="What runs its turns.")
    system_prompt: Text = Field(
        default="",
        max_length=65_536,
        description="Text added to the system prompt of the role. It is paid for in every turn.",
    )
    runtime: RuntimeKind = Field(
        default=RuntimeKind.PROCESS,
        description="Where it runs. `process` isolates nothing: the agent can do what the hive's "
        "user can. `bubblewrap` and `nixos-container` are boxes.",
    )
    network: Network = Field(
        default=Network.HOST,
        description="What a box of `bubblewrap` sees of the network. `host` is the host's, its "
        "loopback included; with `none` nothing can be reached but the hive, and no model either.",
    )
    tools: tuple[Tool, ...] | None = Field(
        default=None,
        description="Which of the hive's tools it has; the server refuses the others. All of its "
        "role's if unset.",
    )
    driver_tools: tuple[Word, ...] | None = Field(
        default=None,
        description="Which of the CLI's own tools it has. If unset, all but those that compete "
        "with the hive's.",
    )
    may_message: tuple[str, ...] | None = Field(
        default=None,
        description="Whom it may write to: names of agents, `manager`, `operator`. Everyone if "
        "unset; an empty list is nobody.",
    )
    quotas: AgentQuotas = Field(
        default_factory=AgentQuotas, description="Where its quotas differ from the hive's."
    )
    limits: AgentLimits = Field(
        default_factory=AgentLimits, description="Memory, CPU, tasks and spend."
    )
    restart: AgentRestart = Field(
        default_factory=AgentRestart, description="How it is started again after it ended."
    )
    binds: tuple[Bind, ...] = Field(
        default=(), description="Further mounts in its box, read-only unless said."
    )
    extra_mcp_servers: dict[FileName, McpServer] = Field(
        default_factory=dict,
        description="Further MCP servers for its CLI, by name. They run with the agent's rights.",
    )
    environment: dict[Variable, Text] = Field(
        default_factory=dict,
        description="Variables of the agent's processes. Not for secrets: whoever can read the "
        "declaration can read these.",
    )
    credentials: dict[FileName, SecretPath] = Field(
        default_factory=dict,
        description="Secrets by name, each the path of a file on the host. One per agent: a login "
        "that two agents share logs one of them out.",
    )
    forge: AgentForge = Field(default_factory=AgentForge, description="Its account on the forge.")
