"""What a declaration says about the whole hive.

A ``Hive`` that came from ``load`` or ``parse`` has exactly one manager, every name in it is known,
and every path in it is absolute. One built by hand has only what pydantic checks.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from hyperhive.config.agents import Agent
from hyperhive.config.values import (
    Address,
    Bytes,
    Count,
    Days,
    Dollars,
    FileName,
    Flag,
    ForgeName,
    HostName,
    HostPath,
    HttpUrl,
    Port,
    Seconds,
    SecretPath,
    Table,
    Text,
    Title,
    Wait,
    Whole,
)
from hyperhive.domain.actors import NAME_LENGTHS, OPERATOR, Role

DEFAULT_STATE_DIR: Final = Path("/var/lib/hyperhive")
DEFAULT_RUN_DIR: Final = Path("/run/hyperhive")
DEFAULT_DOCS_ORG: Final = "org-shared"


class ForgeKind(StrEnum):
    """Which forge the hive uses."""

    EMBEDDED = "embedded"
    FORGEJO = "forgejo"
    NONE = "none"


class Permission(StrEnum):
    """What the members of a team may do with its organisation's repositories."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class RestartNote(StrEnum):
    """How a restarted agent learns that it was restarted."""

    NEXT_TURN = "next-turn"
    WAKE = "wake"


class StateAccess(StrEnum):
    """What the manager may do with the other agents' state."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


class Webhook(Table):
    """Where the operator is told, away from the page, of what waits for them."""

    url_file: SecretPath = Field(
        description="A file with the address that is posted to, http or https, as chat and push "
        "services give one. Whoever reads it can write there."
    )
    per_minute: Count = Field(
        default=6,
        description="Notifications a minute at most; what comes meanwhile goes into the next.",
    )
    with_text: Flag = Field(
        default=False,
        description="Whether a notification holds what agents have written, and not only that "
        "they have. The service that carries it then reads that, too.",
    )


class Operator(Table):
    """Where the operator's page and API are, and how the operator logs in."""

    address: Address = Field(
        default="127.0.0.1",
        description="The address to listen on. Any other than loopback can be reached from the "
        "network, and the connection is not encrypted: put a proxy with TLS before it.",
    )
    port: Port = Field(
        default=7700, description="The TCP port; 0 takes a free one, which the log names."
    )
    secret_file: SecretPath | None = Field(
        default=None,
        description="A file with the operator's password. If unset, one is made at the first start "
        "and kept below `stateDir`.",
    )
    hosts: tuple[HostName, ...] = Field(
        default=(),
        description="Further names under which browsers reach the page, without port. A request "
        "with any other `Host` is refused.",
    )
    forge_account: ForgeName = Field(
        default=OPERATOR, description="The operator's account on the forge."
    )
    webhook: Webhook | None = Field(
        default=None,
        description="Where the operator is told of approvals, questions, messages and alerts. "
        "Nowhere but on the page if unset.",
    )


class Team(Table):
    """Members of an organisation with the same rights."""

    permission: Permission = Field(
        default=Permission.WRITE,
        description="What its members may do with the repositories. In the organisation of the "
        "docs, whoever is not the manager or the operator reads: `read`.",
    )
    members: tuple[str, ...] = Field(
        default=(), description="Names of agents, `manager` or `operator`."
    )


class Organisation(Table):
    """An organisation on the forge."""

    description: Text = Field(default="", max_length=500, description="What it is for.")
    teams: dict[ForgeName, Team] = Field(default_factory=dict, description="Its teams, by name.")


class Docs(Table):
    """The docs repository, which every box sees at `/docs`."""

    org: ForgeName = Field(
        default=DEFAULT_DOCS_ORG, description="Its organisation; it is made if it is missing."
    )
    repository: ForgeName = Field(default="docs", description="Its name.")
    seed_directory: HostPath | None = Field(
        default=None,
        description="What it holds at first. A built-in template if unset; later changes here do "
        "nothing.",
    )


class Forge(Table):
    """The git forge of the hive."""

    kind: ForgeKind = Field(
        default=ForgeKind.NONE,
        description="With `none` agents have no accounts and `/docs` stays empty; `embedded` is "
        "part of the hive and needs git; `forgejo` is one that already runs and needs `url` and "
        "`tokenFile`.",
    )
    url: HttpUrl | None = Field(
        default=None, description="Where agents and hive reach it. The hive chooses if embedded."
    )
    token_file: SecretPath | None = Field(
        default=None,
        description="A file with a site administrator's token. Whoever reads it owns the forge.",
    )
    orgs: dict[ForgeName, Organisation] = Field(
        default_factory=dict, description="Organisations, by name."
    )
    docs: Docs = Field(default_factory=Docs, description="The docs repository.")


class Quotas(Table):
    """What every agent may use, unless its own `quotas` says otherwise."""

    messages_per_minute: Count = Field(default=120, description="Messages sent a minute.")
    broadcasts_per_minute: Whole = Field(
        default=6,
        description="Messages to `*` a minute; 0 forbids them. Each can wake every agent.",
    )
    open_questions: Whole = Field(default=25, description="Questions open at once.")
    pending_approvals: Whole = Field(default=25, description="Approvals pending at once.")
    pending_reminders: Whole = Field(default=50, description="Reminders pending at once.")
    reminder_burst: Whole = Field(
        default=10, description="Reminders set at once before the rate applies."
    )
    reminders_per_minute: Whole = Field(
        default=6, description="Reminders set a minute after the burst."
    )
    reminder_horizon_days: Days = Field(
        default=365, description="How far ahead a reminder may lie."
    )
    message_bytes: Bytes = Field(default=16_384, description="Bytes in a message's body.")
    reminder_bytes: Bytes = Field(
        default=4_096, description="Bytes in a reminder that is delivered without a file."
    )


class Rollout(Table):
    """How all agents are restarted, as after a rebuild: the manager first, then the others."""

    drain_seconds: Wait = Field(
        default=60.0,
        description="How long running turns may go on. What is cut then is delivered again.",
    )
    manager_ready_seconds: Wait = Field(
        default=90.0,
        description="How long the others wait for the manager before they start without it.",
    )
    at_once: Count = Field(
        default=4, description="How many start at the same time. More load the host more."
    )


class Restart(Table):
    """How agents are started again, one alone or all together."""

    backoff_seconds: Seconds = Field(
        default=5.0, description="The wait before the first restart of an agent that crashed."
    )
    backoff_max_seconds: Seconds = Field(
        default=600.0, description="The longest wait; each is twice the one before."
    )
    crash_limit: Count = Field(
        default=5,
        description="Crashes within the window that make a crash loop: the agent stays stopped "
        "until the operator starts it.",
    )
    crash_window_seconds: Seconds = Field(default=900.0, description="That window.")
    note: RestartNote = Field(
        default=RestartNote.NEXT_TURN,
        description="How an agent learns that it was restarted: in its `next-turn`, which costs "
        "nothing, or by a turn of its own (`wake`), which costs one model call for each agent.",
    )
    rollout: Rollout = Field(
        default_factory=Rollout, description="How all agents are restarted together."
    )


class Retention(Table):
    """How long the database keeps what is over. What is open is kept for ever."""

    messages_days: Days = Field(default=30, description="Days that acked messages are kept.")
    events_days: Days = Field(
        default=30, description="Days that events are kept; the page's history reaches so far."
    )
    transcripts_days: Days = Field(
        default=14, description="Days that transcripts are kept; they take the most room."
    )


class Backups(Table):
    """Copies of the database that the hive makes of itself, below `stateDir`."""

    every_hours: Count = Field(
        default=24, description="Hours between two; what came since the last one is not in it."
    )
    keep: Whole = Field(
        default=7,
        description="How many are kept, each as large as the database; 0 makes none. Those made "
        "by hand or before an upgrade are kept beside them.",
    )


class Limits(Table):
    """What the whole hive may spend, and how large it may grow."""

    agents: Count = Field(
        default=50,
        description="Agents, declared ones included, beyond which none is spawned.",
    )
    spend_per_day_usd: Dollars | None = Field(
        default=None,
        description="US dollars a day; at the limit no agent starts a turn until midnight or until "
        "the operator resumes the hive. Unlimited if unset.",
    )


class Manager(Table):
    """What the manager may do beyond its tools."""

    state_access: StateAccess = Field(
        default=StateAccess.READ_ONLY,
        description="Its access to the other agents' state. With `read-write` it can plant "
        "settings there and so act as any of them.",
    )


class Spawned(Table):
    """What agents that come at run time have of their own, and what they are built from."""

    credentials: dict[FileName, SecretPath] = Field(
        default_factory=dict,
        description="Secrets of spawned agents by name, each the path of a file on the host. If "
        "empty, they use the manager's keys and tokens of a model, and no other secret of it.",
    )
    flake: HostPath | None = Field(
        default=None,
        description="A directory with the flake that their systems are built from, where they are "
        "NixOS containers; the NixOS module sets it. Without it none can be spawned there.",
    )


class Hive(Table):
    """The whole declaration."""

    name: Title = Field(default="hive", description="The hive's name, as the page shows it.")
    state_dir: HostPath = Field(
        default=DEFAULT_STATE_DIR,
        description="Everything that must survive: the database, the agents' state and homes. Back "
        "it up.",
    )
    run_dir: HostPath = Field(
        default=DEFAULT_RUN_DIR,
        description="The sockets. Short, because a socket's path ends at 107 bytes; private to the "
        "hive, because whoever can open a socket is that agent.",
    )
    operator: Operator = Field(default_factory=Operator, description="The operator's page and API.")
    agents: dict[str, Agent] = Field(
        description="The agents, by name.",
        json_schema_extra={
            "propertyNames": {
                "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
                "minLength": NAME_LENGTHS.start,
                "maxLength": NAME_LENGTHS.stop - 1,
            }
        },
    )
    forge: Forge = Field(default_factory=Forge, description="The git forge.")
    quotas: Quotas = Field(default_factory=Quotas, description="What every agent may use.")
    restart: Restart = Field(default_factory=Restart, description="How agents are started again.")
    retention: Retention = Field(
        default_factory=Retention, description="How long what is over is kept."
    )
    backups: Backups = Field(
        default_factory=Backups, description="Copies of the database made at intervals."
    )
    limits: Limits = Field(default_factory=Limits, description="What the hive may spend.")
    manager: Manager = Field(
        default_factory=Manager, description="What the manager may do beyond its tools."
    )
    spawned: Spawned = Field(
        default_factory=Spawned, description="What agents that come at run time have."
    )

    @field_validator("agents", mode="before")
    @classmethod
    def _name_from_key(cls, agents: object) -> object:
        if not isinstance(agents, dict):
            return agents
        return {
            key: {"name": key, **agent} if isinstance(agent, dict) else agent
            for key, agent in agents.items()
        }

    @property
    def manager_name(self) -> str:
        """The name of the one agent that is the manager."""
        return next(agent.name for agent in self.agents.values() if agent.role is Role.MANAGER)

    @property
    def enabled_agents(self) -> tuple[Agent, ...]:
        """The agents that should run, in the order of the declaration."""
        return tuple(agent for agent in self.agents.values() if agent.enable)

    def socket_of(self, name: str) -> Path:
        """Where the agent ``name`` has its socket on the host."""
        return socket_path(self.run_dir, name)


def socket_path(run_dir: Path, name: str) -> Path:
    """Where an agent's socket lies below ``run_dir``."""
    return run_dir / "agents" / name / "agent.sock"
