"""The rules that relate one part of a declaration to another.

They look at the document as it was written, not at the models made from it, and skip what has the
wrong type, which is a fault already: so a wrong port does not hide that there are two managers.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Final

from hyperhive.config.agents import MANAGER_TOOLS
from hyperhive.config.faults import Fault, did_you_mean, fault_at, nearest, quoted, shown_value
from hyperhive.config.hive import (
    DEFAULT_DOCS_ORG,
    DEFAULT_RUN_DIR,
    DEFAULT_STATE_DIR,
    Restart,
    socket_path,
)
from hyperhive.domain.actors import (
    EVERYONE,
    MANAGER,
    NAME_LENGTHS,
    OPERATOR,
    RESERVED_NAMES,
    Role,
    name_fault,
)
from hyperhive.domain.forge_plan import OUR_ACCOUNTS, OUR_TEAMS

SOCKET_PATH_BYTES_MAX: Final = 107
"""Linux keeps a socket's path in 108 bytes, the last of them zero."""

OUR_MCP_SERVER: Final = "hyperhive"

_BOX_PATHS: Final = tuple(
    map(
        Path,
        ("/agents", "/shared", "/docs", "/run/hyperhive", "/home/agent", "/applied", "/configs"),
    )
)
_SEEN_BY_BOXES: Final = ("agents", "shared", "docs", "homes", "applied", "configs")

_Raw = Mapping[str, object]


def relations(data: _Raw, base: Path) -> Iterator[Fault]:
    """Find every fault between parts of ``data``; its relative paths start from ``base``."""
    agents = {name: _table(agent) for name, agent in _table(data.get("agents")).items()}
    yield from _managers(data, agents)
    for name, agent in agents.items():
        yield from _name(name, agent, agents)
        yield from _driver(name, _table(agent.get("driver")))
        yield from _recipients(("agents", name, "mayMessage"), agent.get("mayMessage"), agents)
        yield from _tools(name, agent)
        yield from _network(name, agent)
        yield from _binds(name, agent, data, base)
        yield from _mcp_servers(name, agent)
    yield from _directories(data, agents, base)
    yield from _forge(data, agents)
    yield from _restarts(data, agents)


def _managers(data: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    roles = {name: agent.get("role") for name, agent in agents.items()}
    managers = [name for name, role in roles.items() if role == Role.MANAGER]
    for name in managers[1:]:
        yield fault_at(
            ("agents", name, "role"),
            Role.MANAGER.value,
            f"A hive has one manager, and {quoted(managers[0])} is one already.",
            f'Write role = "worker" for one of {_listed(managers)}.',
        )
    is_misspelt = any(
        isinstance(role, str) and nearest(role, Role) == Role.MANAGER for role in roles.values()
    )
    if isinstance(data.get("agents"), Mapping) and not managers and not is_misspelt:
        yield fault_at(
            ("agents",),
            None,
            "No agent is the manager.",
            f'Write role = "manager" for one of {_listed(agents)}.'
            if agents
            else 'Declare one: [agents.queen] with role = "manager" and a driver.',
        )


def _name(name: str, agent: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    if fault := name_fault(name):
        yield fault_at(("agents", name), name, fault, _better_name(name, agents))
    inner = agent.get("name")
    if isinstance(inner, str) and inner != name:
        yield fault_at(
            ("agents", name, "name"),
            inner,
            f"The agent's table is called {quoted(name)}.",
            "Remove this key, or rename the table.",
        )


def _better_name(name: str, agents: Mapping[str, _Raw]) -> str:
    if name in RESERVED_NAMES:
        return "Choose another name."
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    plain = plain[: NAME_LENGTHS.stop - 1].rstrip("-")
    if name_fault(plain) is None and plain not in agents:
        return f"Rename the agent, for example to {quoted(plain)}."
    return 'Rename the agent, as in "alice" or "build-2".'


def _network(name: str, agent: _Raw) -> Iterator[Fault]:
    kind = _table(agent.get("driver")).get("kind")
    if agent.get("network") == "none" and kind in ("claude", "codex"):
        yield fault_at(
            ("agents", name, "network"),
            "none",
            f"The driver {kind} reaches no model without a network.",
            'Remove the key, or write network = "host".',
        )


def _driver(name: str, driver: _Raw) -> Iterator[Fault]:
    place = ("agents", name, "driver")
    if driver.get("permissionPrompts") == "operator" and driver.get("kind") != "claude":
        yield fault_at(
            (*place, "permissionPrompts"),
            "operator",
            "Only the driver claude can ask the operator for permissions.",
            "Remove the key: what is not allowed is denied.",
        )
    match driver.get("kind"):
        case "scripted":
            if driver.get("script") is None:
                yield fault_at(
                    (*place, "script"),
                    None,
                    "A scripted driver needs a script.",
                    'Write its path, as in script = "./alice.script.json".',
                )
            if driver.get("command"):
                yield fault_at(
                    (*place, "command"),
                    None,
                    "A scripted driver runs no command.",
                    'Remove the key, or write kind = "command".',
                )
        case "command" | "claude" | "codex" as kind:
            if kind == "command" and driver.get("command") in (None, [], ()):
                yield fault_at(
                    (*place, "command"),
                    None,
                    "A command driver needs a command.",
                    'Write the program and its arguments, as in command = ["python3", "alice.py"].',
                )
            if driver.get("script") is not None:
                yield fault_at(
                    (*place, "script"),
                    driver["script"],
                    f"A {kind} driver plays no script.",
                    'Remove the key, or write kind = "scripted".',
                )
        case _:
            pass


def _recipients(
    place: tuple[str, ...], value: object, agents: Mapping[str, _Raw]
) -> Iterator[Fault]:
    for index, name in _texts(value):
        if name == EVERYONE:
            yield fault_at(
                (*place, index),
                name,
                "`*` is not the name of anyone.",
                "Remove `mayMessage` to allow everyone; a broadcast reaches whom the list names.",
            )
        elif name not in agents and name not in {MANAGER, OPERATOR}:
            yield _unknown_name((*place, index), name, agents)


def _unknown_name(place: tuple[str | int, ...], name: str, agents: Mapping[str, _Raw]) -> Fault:
    known = dict.fromkeys((*agents, MANAGER, OPERATOR))
    return fault_at(
        place,
        name,
        f"There is no agent {quoted(name)}.",
        did_you_mean(name, known, "names"),
    )


def _tools(name: str, agent: _Raw) -> Iterator[Fault]:
    if agent.get("role") == Role.MANAGER:
        return
    for index, tool in _texts(agent.get("tools")):
        if tool in MANAGER_TOOLS:
            yield fault_at(
                ("agents", name, "tools", index),
                tool,
                "Only the manager can have this tool.",
                "Remove it.",
            )


def _binds(name: str, agent: _Raw, data: _Raw, base: Path) -> Iterator[Fault]:
    binds = agent.get("binds")
    for index, bind in enumerate(binds if isinstance(binds, list | tuple) else ()):
        place = ("agents", name, "binds", index)
        source = _table(bind).get("hostPath")
        target = _table(bind).get("mountPoint")
        if isinstance(source, str | Path):
            path = _absolute(source, base)
            for key, default in (("stateDir", DEFAULT_STATE_DIR), ("runDir", DEFAULT_RUN_DIR)):
                ours = _directory(data, key, default, base)
                if _overlap(path, ours):
                    yield fault_at(
                        (*place, "hostPath"),
                        str(source),
                        f"This shows the agent the hive's {key}, and in it what is not its own.",
                        "Mount a directory apart from it; agents share files in /shared.",
                    )
        if isinstance(target, str | Path):
            path = Path(normpath(target))
            taken = next((ours for ours in _BOX_PATHS if _overlap(path, ours)), None)
            if taken:
                yield fault_at(
                    (*place, "mountPoint"),
                    str(target),
                    f"Every box has {taken} of its own.",
                    "Choose a path apart from it, such as /data.",
                )


def _mcp_servers(name: str, agent: _Raw) -> Iterator[Fault]:
    for key, server in _table(agent.get("extraMcpServers")).items():
        place = ("agents", name, "extraMcpServers", key)
        if key == OUR_MCP_SERVER:
            yield fault_at(
                place, None, "The hive's own MCP server has this name.", "Choose another name."
            )
        settings = _table(server)
        if isinstance(server, Mapping) and bool(settings.get("command")) == bool(
            settings.get("url")
        ):
            yield fault_at(
                place,
                None,
                "An MCP server is either a program or an address.",
                "Write one of `command` and `url`.",
            )


def _directories(data: _Raw, agents: Mapping[str, _Raw], base: Path) -> Iterator[Fault]:
    run_dir = _directory(data, "runDir", DEFAULT_RUN_DIR, base)
    state_dir = _directory(data, "stateDir", DEFAULT_STATE_DIR, base)
    shown = data.get("runDir") if isinstance(data.get("runDir"), str) else None
    boxes = next(
        (
            inner
            for inner in (state_dir / part for part in _SEEN_BY_BOXES)
            if run_dir.is_relative_to(inner)
        ),
        None,
    )
    if run_dir == state_dir or boxes:
        yield fault_at(
            ("runDir",),
            shown,
            f"Agents can see {boxes or state_dir / 'agents'}, and would find there the sockets of "
            "others.",
            "Choose a directory apart from stateDir.",
        )
    names = [name for name in agents if name_fault(name) is None]
    if not names:
        return
    longest = max(names, key=len)
    path = socket_path(run_dir, longest)
    size = len(str(path).encode(errors="replace"))
    if size > SOCKET_PATH_BYTES_MAX:
        yield fault_at(
            ("runDir",),
            shown,
            f"The socket of {quoted(longest)} would have a path of {size} bytes; a socket's path "
            f"ends at {SOCKET_PATH_BYTES_MAX}.",
            f"Choose a directory that is at least {size - SOCKET_PATH_BYTES_MAX} bytes shorter, "
            "such as /run/hyperhive.",
        )


def _forge(data: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    forge = _table(data.get("forge"))
    kind, url = forge.get("kind", "none"), forge.get("url")
    if kind == "forgejo":
        for key, what in (("url", "its address"), ("tokenFile", "the path of its token's file")):
            if forge.get(key) is None:
                yield fault_at(
                    ("forge", key), None, f"A forgejo forge needs {key}.", f"Write {what}."
                )
    elif forge.get("tokenFile") is not None:
        yield fault_at(
            ("forge", "tokenFile"),
            None,
            "Only a Forgejo that runs already has a token.",
            'Remove the key, or write kind = "forgejo".',
        )
    elif kind == "embedded" and isinstance(url, str) and not url.startswith("http://"):
        yield fault_at(
            ("forge", "url"),
            url,
            "The embedded forge speaks plain HTTP, at the host and port of its address.",
            'Write one of this machine\'s, as in "http://127.0.0.1:7780".',
        )
    yield from _forge_names(data, forge, agents)


def _forge_names(data: _Raw, forge: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    orgs = _table(forge.get("orgs"))
    docs_org = _table(forge.get("docs")).get("org", DEFAULT_DOCS_ORG)
    for org, settings in orgs.items():
        yield from _account(("forge", "orgs", org), org, agents)
        for team, inner in _table(_table(settings).get("teams")).items():
            if team.lower() in OUR_TEAMS:
                yield fault_at(
                    ("forge", "orgs", org, "teams", team),
                    None,
                    f"The hive itself keeps a team {quoted(team)}, and says who is in it.",
                    "Choose another name.",
                )
            place = ("forge", "orgs", org, "teams", team, "members")
            for index, member in _texts(_table(inner).get("members")):
                if member not in agents and member not in {MANAGER, OPERATOR}:
                    yield _unknown_name((*place, index), member, agents)
    yield from _docs_teams(docs_org, orgs, agents)
    if isinstance(docs_org, str) and docs_org not in orgs:
        yield from _account(("forge", "docs", "org"), docs_org, agents)
    account = _table(data.get("operator")).get("forgeAccount")
    if isinstance(account, str) and account in {*agents, *orgs, *OUR_ACCOUNTS}:
        yield fault_at(
            ("operator", "forgeAccount"),
            account,
            "An agent, an organisation or the hive itself has this name on the forge.",
            "Choose another name.",
        )
    for name, agent in agents.items():
        for index, org in _texts(_table(agent.get("forge")).get("orgs")):
            if org not in orgs and org != docs_org:
                known = [*orgs, *([docs_org] if isinstance(docs_org, str) else [])]
                yield fault_at(
                    ("agents", name, "forge", "orgs", index),
                    org,
                    f"There is no organisation {quoted(org)}.",
                    did_you_mean(org, dict.fromkeys(known), "organisations"),
                )


def _docs_teams(docs_org: object, orgs: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    """Find the teams by which others than the manager and the operator could push to the docs."""
    if not isinstance(docs_org, str) or docs_org not in orgs:
        return
    managers = {name for name, agent in agents.items() if agent.get("role") == Role.MANAGER}
    for team, raw in _table(_table(orgs[docs_org]).get("teams")).items():
        inner = _table(raw)
        members = {member for _, member in _texts(inner.get("members"))}
        if inner.get("permission") != "read" and not members <= {*managers, MANAGER, OPERATOR}:
            yield fault_at(
                ("forge", "orgs", docs_org, "teams", team, "permission"),
                inner.get("permission"),
                "Only the manager and the operator push to the docs, and others would be in here.",
                'Write permission = "read", or put the repository into another organisation.',
            )


def _account(place: tuple[str, ...], name: str, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    reason = None
    if name in agents:
        reason = "An agent has this name, and the forge has one space of names for both."
    elif name in OUR_ACCOUNTS:
        reason = "The hive's own account has this name."
    elif name in RESERVED_NAMES:
        reason = f"The name is reserved: {RESERVED_NAMES[name]}."
    if reason is not None:
        yield fault_at(place, name, reason, "Choose another name.")


def _restarts(data: _Raw, agents: Mapping[str, _Raw]) -> Iterator[Fault]:
    defaults = Restart()
    hive = _table(data.get("restart"))
    first = hive.get("backoffSeconds", defaults.backoff_seconds)
    longest = hive.get("backoffMaxSeconds", defaults.backoff_max_seconds)
    places = {("restart",): hive} | {
        ("agents", name, "restart"): _table(agent.get("restart")) for name, agent in agents.items()
    }
    for place, restart in places.items():
        low = first if restart.get("backoffSeconds") is None else restart["backoffSeconds"]
        high = longest if restart.get("backoffMaxSeconds") is None else restart["backoffMaxSeconds"]
        is_set = restart.keys() & {"backoffSeconds", "backoffMaxSeconds"}
        if is_set and isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield fault_at(
                (*place, "backoffMaxSeconds"),
                high,
                f"The longest wait is shorter than the first, {shown_value(low)}.",
                f"Write {shown_value(low)} or more.",
            )


def _table(value: object) -> _Raw:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> Iterator[tuple[int, str]]:
    for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
        if isinstance(item, str):
            yield index, item


def _directory(data: _Raw, key: str, default: Path, base: Path) -> Path:
    value = data.get(key)
    return _absolute(value, base) if isinstance(value, str | Path) and str(value) else default


def _absolute(path: str | Path, base: Path) -> Path:
    return Path(normpath(base / path))


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _listed(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(map(quoted, names))
