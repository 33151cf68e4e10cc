"""Everything wrong with a declaration is said at once: where, what stands there, what to write."""

import json
from pathlib import Path
from typing import Any

import pytest

from hyperhive.config import DeclarationError, Fault, load, parse
from hyperhive.domain.errors import HiveError
from tests.promises import promise

BASE = Path("/etc/hive")
QUEEN: dict[str, Any] = {"role": "manager", "driver": {"kind": "command", "command": ["cat"]}}
ALICE: dict[str, Any] = {"driver": {"kind": "command", "command": ["cat"]}}


def faults(data: dict[str, Any]) -> dict[str, Fault]:
    """Parse a declaration that must fail, and return its faults by path."""
    with pytest.raises(DeclarationError) as caught:
        parse(data, BASE)
    return {fault.path: fault for fault in caught.value.faults}


def only_fault(data: dict[str, Any]) -> Fault:
    """Parse a declaration that must fail for one reason, and return it."""
    found = faults(data)
    assert len(found) == 1, [str(fault) for fault in found.values()]
    return next(iter(found.values()))


def with_alice(**settings: Any) -> dict[str, Any]:
    """Declare queen, and alice with these settings."""
    return {"agents": {"queen": QUEEN, "alice": {**ALICE, **settings}}}


@promise("D1", "D2")
def test_every_kind_of_fault_is_reported_in_one_run(tmp_path: Path) -> None:
    file = tmp_path / "hive.json"
    file.write_text(
        """
        {"nme": "x", "operator": {"port": "7700"}, "agents": {
          "queen": {"role": "manager", "driver": {"kind": "command"}},
          "rex": {"role": "manager", "driver": {"kind": "comand", "command": ["cat"]}},
          "system": {"driver": {"kind": "scripted"}, "mayMessage": ["queen", "bobb"]},
          "Bob": {"driver": {"kind": "command", "command": ["cat"]}, "runtime": "docker"},
          "alice": {"credentials": {"KEY": "sk-secret"}},
          "alice": {"role": "worker"}
        }}
        """
    )

    with pytest.raises(DeclarationError) as caught:
        load(file)

    assert [fault.path for fault in caught.value.faults] == [
        "agents.Bob",
        "agents.Bob.runtime",
        "agents.alice",
        "agents.alice.driver",
        "agents.queen.driver.command",
        "agents.rex.driver.kind",
        "agents.rex.role",
        "agents.system",
        "agents.system.driver.script",
        "agents.system.mayMessage[1]",
        "nme",
        "operator.port",
    ]


def test_the_error_is_of_the_hives_tree_and_says_all_faults() -> None:
    with pytest.raises(HiveError) as caught:
        parse({"agents": {"queen": QUEEN}, "nme": "x", "port": 1}, BASE)

    assert (caught.value.code, caught.value.status) == ("declaration", 400)
    assert "2 faults" in str(caught.value)
    assert "nme: Unknown key" in str(caught.value)
    assert "port: Unknown key" in str(caught.value)


def test_every_fault_has_a_remedy() -> None:
    found = faults(
        {
            "agents": {"queen": {**QUEEN, "tools": 5, "enable": "yes", "limits": {"cpu": 0}}},
            "retention": {"messagesDays": 0},
            "stateDir": None,
            "forge": [],
        }
    )

    assert len(found) == 6
    assert all(fault.remedy for fault in found.values())


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    fault = only_fault(with_alice(descripton="Builds."))

    assert fault.path == "agents.alice.descripton"
    assert fault.message == "Unknown key `descripton`; did you mean `description`?"


@pytest.mark.parametrize("key", ["may_message", "maymessage", "MayMessage", "may-message"])
def test_another_spelling_of_a_key_is_unknown_and_corrected(key: str) -> None:
    assert "did you mean `mayMessage`?" in only_fault(with_alice(**{key: ["queen"]})).message


def test_a_key_that_belongs_one_table_deeper_is_sent_there() -> None:
    fault = only_fault(with_alice(turnLimitSeconds=60))

    assert "did you mean `driver.turnLimitSeconds`?" in fault.message
    assert fault.remedy == "Move it into `agents.alice.driver`."


def test_an_unknown_key_that_resembles_none_lists_those_there_are() -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "retention": {"xyz": 1}})

    assert fault.remedy.endswith("The keys here are: messagesDays, eventsDays, transcriptsDays.")


def test_unknown_keys_are_found_in_lists_and_maps_of_tables() -> None:
    bind = {"hostPath": "/data", "mountPoint": "/data", "readOnly": True}
    found = faults(
        with_alice(binds=[bind], extraMcpServers={"a b": {"comand": ["x"], "url": "http://h"}})
    )

    assert found["agents.alice.binds[0].readOnly"].message.endswith("did you mean `isReadOnly`?")
    assert 'agents.alice.extraMcpServers."a b".comand' in found


def test_a_missing_key_is_named_with_its_meaning() -> None:
    fault = only_fault({"agents": {"queen": QUEEN, "alice": {}}})

    assert (fault.path, fault.value) == ("agents.alice.driver", None)
    assert fault.message == "The key `driver` is missing."


def test_a_hive_without_agents_is_told_to_declare_a_manager() -> None:
    fault = only_fault({"agents": {}})

    assert (fault.path, fault.message) == ("agents", "No agent is the manager.")


def test_a_hive_without_manager_is_told_who_could_be() -> None:
    fault = only_fault({"agents": {"alice": ALICE, "bob": ALICE}})

    assert fault.message == "No agent is the manager."
    assert fault.remedy == 'Write role = "manager" for one of "alice", "bob".'


def test_a_second_manager_is_named_with_the_first() -> None:
    fault = only_fault({"agents": {"queen": QUEEN, "rex": QUEEN}})

    assert fault.path == "agents.rex.role"
    assert fault.message == 'A hive has one manager, and "queen" is one already.'


def test_a_misspelt_manager_is_one_fault_and_not_also_a_missing_one() -> None:
    fault = only_fault({"agents": {"queen": {**QUEEN, "role": "manger"}}})

    assert fault.path == "agents.queen.role"
    assert fault.remedy.startswith('Did you mean "manager"?')


def test_an_unknown_role_does_not_hide_that_there_is_no_manager() -> None:
    found = faults({"agents": {"queen": {**QUEEN, "role": 7}}})

    assert set(found) == {"agents", "agents.queen.role"}


@pytest.mark.parametrize(
    "name", ["a", "abcdefghijkl", "Alice", "al_ice", "1alice", "alice-", "al--ice", "älice", ""]
)
def test_a_malformed_name_is_a_fault_of_its_own(name: str) -> None:
    fault = only_fault({"agents": {"queen": QUEEN, name: ALICE}})

    assert fault.value == json.dumps(name, ensure_ascii=False)
    assert fault.message.startswith("A name ")


@pytest.mark.parametrize("name", ["operator", "manager", "system", "reminder", "admin", "ghost"])
def test_a_reserved_name_is_a_fault_of_its_own(name: str) -> None:
    fault = only_fault({"agents": {"queen": QUEEN, name: ALICE}})

    assert fault.path == f"agents.{name}"
    assert fault.message.startswith("The name is reserved: ")


def test_a_malformed_name_is_offered_the_nearest_good_one() -> None:
    fault = only_fault({"agents": {"queen": QUEEN, "Build_2": ALICE}})

    assert fault.remedy == 'Rename the agent, for example to "build-2".'


def test_a_name_that_contradicts_its_key_is_a_fault() -> None:
    fault = only_fault(with_alice(name="bob"))

    assert (fault.path, fault.value) == ("agents.alice.name", '"bob"')


def test_a_list_of_agents_is_told_to_be_a_table() -> None:
    fault = only_fault({"agents": [{"name": "alice"}]})

    assert fault.message == "This is a list; a table belongs here."
    assert "[agents.alice]" in fault.remedy


def test_an_unknown_recipient_is_told_the_nearest_name() -> None:
    fault = only_fault(with_alice(mayMessage=["manager", "quen", "operator"]))

    assert (fault.path, fault.value) == ("agents.alice.mayMessage[1]", '"quen"')
    assert fault.remedy == 'Did you mean "queen"?'


def test_an_unknown_recipient_that_resembles_none_lists_the_names() -> None:
    fault = only_fault(with_alice(mayMessage=["zzz"]))

    assert fault.remedy == "The names are: queen, alice, manager, operator."


def test_a_star_is_no_recipient_of_an_allow_list() -> None:
    assert "Remove `mayMessage`" in only_fault(with_alice(mayMessage=["*"])).remedy


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"enable": "true"}, "enable", "This is text; true or false belongs here."),
        ({"enable": 1}, "enable", "This is a number; true or false belongs here."),
        ({"description": 5}, "description", "This is a number; text belongs here."),
        ({"mayMessage": "queen"}, "mayMessage", "This is text; a list belongs here."),
        ({"mayMessage": [5]}, "mayMessage[0]", "This is a number; text belongs here."),
        ({"environment": ["A=1"]}, "environment", "This is a list; a table belongs here."),
        ({"environment": {"A": 1}}, "environment.A", "This is a number; text belongs here."),
        ({"driver": "claude"}, "driver", "This is text; a table belongs here."),
        ({"role": True}, "role", "This is true or false; text belongs here."),
        ({"limits": {"cpu": "2"}}, "limits.cpu", "This is text; a number belongs here."),
        ({"limits": {"cpu": -1}}, "limits.cpu", "The number is too small."),
        (
            {"limits": {"tasks": 1.0}},
            "limits.tasks",
            "This is a number; a whole number belongs here.",
        ),
        ({"limits": {"memory": "2 GB"}}, "limits.memory", "An amount of memory is "),
        ({"quotas": {"messageBytes": 10**9}}, "quotas.messageBytes", "The number is too large."),
        ({"description": "x" * 501}, "description", "The text has 501 characters; "),
        ({"runtime": "docker"}, "runtime", "This is not one of the choices."),
        ({"tools": ["recvv"]}, "tools[0]", "This is not one of the choices."),
        ({"enable": None}, "enable", "This is nothing (null); true or false belongs here."),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_a_fault(
    settings: dict[str, Any], path: str, message: str
) -> None:
    fault = only_fault(with_alice(**settings))

    assert fault.path == f"agents.alice.{path}"
    assert fault.message.startswith(message)


def test_a_command_written_as_text_is_shown_as_a_list() -> None:
    fault = only_fault(with_alice(driver={"kind": "command", "command": "python3 'a b.py'"}))

    assert fault.remedy == 'Write one item for each word: ["python3", "a b.py"].'


@pytest.mark.parametrize(("port", "word"), [(-1, "0 or more"), (65_536, "65535 or less")])
def test_a_port_out_of_range_is_told_the_bound(port: int, word: str) -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "operator": {"port": port}})

    assert (fault.path, fault.value, fault.remedy) == ("operator.port", str(port), f"Write {word}.")


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0, 10**400])
def test_a_turn_limit_is_a_finite_positive_number(limit: float) -> None:
    driver = {**ALICE["driver"], "turnLimitSeconds": limit}

    assert only_fault(with_alice(driver=driver)).path == "agents.alice.driver.turnLimitSeconds"


@pytest.mark.parametrize(
    "host", ["https://hive.lan", "hive.lan:7700", "*.hive.lan", "hive.lan/", ""]
)
def test_a_host_is_a_name_and_nothing_else(host: str) -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "operator": {"hosts": [host]}})

    assert fault.path == "operator.hosts[0]"


def test_an_address_that_is_none_is_a_fault() -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "operator": {"address": "127.0.0.1:7700"}})

    assert fault.message == "This is not an IP address."


def test_an_unknown_driver_is_told_the_nearest_kind() -> None:
    fault = only_fault(with_alice(driver={"kind": "script"}))

    assert fault.path == "agents.alice.driver.kind"
    assert fault.remedy == (
        'Did you mean "scripted"? Write one of: scripted, command, claude, codex.'
    )


def test_a_scripted_driver_without_script_is_a_fault() -> None:
    fault = only_fault(with_alice(driver={"kind": "scripted"}))

    assert (fault.path, fault.message) == (
        "agents.alice.driver.script",
        "A scripted driver needs a script.",
    )


@pytest.mark.parametrize("driver", [{"kind": "command"}, {"kind": "command", "command": []}])
def test_a_command_driver_without_command_is_a_fault(driver: dict[str, Any]) -> None:
    fault = only_fault(with_alice(driver=driver))

    assert (fault.path, fault.message) == (
        "agents.alice.driver.command",
        "A command driver needs a command.",
    )


def test_a_script_of_a_driver_that_plays_none_is_a_fault() -> None:
    driver = {"kind": "command", "command": ["cat"], "script": "./a.json"}

    assert only_fault(with_alice(driver=driver)).path == "agents.alice.driver.script"


def test_a_command_of_a_scripted_driver_is_a_fault() -> None:
    driver = {"kind": "scripted", "command": ["cat"], "script": "./a.json"}

    assert only_fault(with_alice(driver=driver)).path == "agents.alice.driver.command"


def test_a_tool_of_the_manager_is_refused_to_a_worker() -> None:
    fault = only_fault(with_alice(tools=["send", "restart"]))

    assert (fault.path, fault.message) == (
        "agents.alice.tools[1]",
        "Only the manager can have this tool.",
    )


def test_a_run_directory_that_makes_a_socket_path_too_long_says_by_how_much() -> None:
    longest = "/agents/queen/agent.sock"
    fitting = "/" + "r" * (107 - len(longest) - 1)
    parse({"agents": {"queen": QUEEN}, "runDir": fitting}, BASE)

    fault = only_fault({"agents": {"queen": QUEEN}, "runDir": f"{fitting}xyz"})

    assert fault.path == "runDir"
    assert "110 bytes" in fault.message
    assert "at least 3 bytes shorter" in fault.remedy


def test_a_relative_run_directory_counts_with_the_directory_it_starts_from() -> None:
    with pytest.raises(DeclarationError, match="would have a path of"):
        parse({"agents": {"queen": QUEEN}, "runDir": "./run"}, Path("/" + "d" * 90))


def test_a_socket_path_is_measured_in_bytes_and_not_in_characters() -> None:
    assert only_fault({"agents": {"queen": QUEEN}, "runDir": "/" + "ü" * 50}).path == "runDir"


@pytest.mark.parametrize("run_dir", ["/srv/hive", "/srv/hive/agents/run", "/srv/hive/x/../shared"])
def test_sockets_where_agents_can_see_them_are_refused(run_dir: str) -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "stateDir": "/srv/hive", "runDir": run_dir})

    assert fault.path == "runDir"


@pytest.mark.parametrize("path", ["", "~/hive", "/srv/\0hive", "/srv/hive\n"])
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    assert only_fault({"agents": {"queen": QUEEN}, "stateDir": path}).path == "stateDir"


SECRET = "sk-ant-0123456789"


@pytest.mark.parametrize(
    "data",
    [
        with_alice(credentials={"KEY": SECRET}),
        {"agents": {"queen": QUEEN}, "operator": {"secretFile": SECRET}},
        {
            "agents": {"queen": QUEEN},
            "forge": {"kind": "forgejo", "url": "http://forge", "tokenFile": SECRET},
        },
    ],
    ids=["credentials", "secretFile", "tokenFile"],
)
def test_a_secret_given_as_text_is_refused_and_not_repeated(data: dict[str, Any]) -> None:
    fault = only_fault(data)

    assert fault.message.startswith("This is not a path")
    assert SECRET not in str(fault)


@pytest.mark.parametrize(
    "data",
    [
        with_alice(credential={"KEY": SECRET}),
        {"agents": {"queen": QUEEN}, "operator": {"secret": SECRET}},
        with_alice(environment={"KEY": f"{SECRET}\0"}),
    ],
    ids=["unknown table", "unknown key", "environment"],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(data: dict[str, Any]) -> None:
    assert SECRET not in str(only_fault(data))


def test_a_secret_in_the_nix_store_is_refused() -> None:
    fault = only_fault(with_alice(credentials={"KEY": "/nix/store/abc-key"}))

    assert fault.message == "Every user of the host can read the Nix store."


@pytest.mark.parametrize("key", ["HYPERHIVE_SOCKET", "HOME", "A=B", "1A", ""])
def test_a_variable_that_is_the_hives_or_malformed_is_refused(key: str) -> None:
    assert only_fault(with_alice(environment={key: "x"})).path.startswith(
        "agents.alice.environment"
    )


@pytest.mark.parametrize(
    "source", ["/", "/var", "/var/lib/hyperhive/homes", "/run", "/var/./lib/x/.."]
)
def test_a_bind_of_the_hives_own_directories_is_refused(source: str) -> None:
    found = faults(with_alice(binds=[{"hostPath": source, "mountPoint": "/data"}]))

    assert set(found) == {"agents.alice.binds[0].hostPath"}


@pytest.mark.parametrize(
    "target", ["/agents", "/run", "/run/hyperhive/x", "/home/agent", "data", "/a/../b"]
)
def test_a_mount_point_that_is_taken_or_no_place_is_refused(target: str) -> None:
    bind = {"hostPath": "/data", "mountPoint": target}

    assert only_fault(with_alice(binds=[bind])).path == "agents.alice.binds[0].mountPoint"


@pytest.mark.parametrize("server", [{}, {"command": ["x"], "url": "http://h"}])
def test_an_mcp_server_is_either_a_program_or_an_address(server: dict[str, Any]) -> None:
    fault = only_fault(with_alice(extraMcpServers={"browser": server}))

    assert fault.remedy == "Write one of `command` and `url`."


def test_an_mcp_server_cannot_take_the_place_of_the_hives_own() -> None:
    fault = only_fault(with_alice(extraMcpServers={"hyperhive": {"command": ["x"]}}))

    assert fault.path == "agents.alice.extraMcpServers.hyperhive"


def with_forge(**forge: Any) -> dict[str, Any]:
    """Declare queen and this forge."""
    return {"agents": {"queen": QUEEN}, "forge": forge}


def test_an_unknown_forge_is_told_the_kinds() -> None:
    fault = only_fault(with_forge(kind="gitlab"))

    assert (fault.path, fault.remedy) == ("forge.kind", "Write one of: embedded, forgejo, none.")


def test_a_forgejo_without_address_and_token_is_two_faults() -> None:
    assert set(faults(with_forge(kind="forgejo"))) == {"forge.url", "forge.tokenFile"}


def test_a_token_for_the_embedded_forge_is_refused() -> None:
    assert only_fault(with_forge(tokenFile="/etc/token")).path == "forge.tokenFile"


def test_the_embedded_forge_is_not_encrypted() -> None:
    fault = only_fault(with_forge(kind="embedded", url="https://forge.example.org"))

    assert (fault.path, "plain HTTP" in fault.message) == ("forge.url", True)


@pytest.mark.parametrize("team", ["hive-members", "docs-writers", "Owners"])
def test_a_team_that_the_hive_keeps_is_not_declared(team: str) -> None:
    fault = only_fault(with_forge(kind="embedded", orgs={"tools": {"teams": {team: {}}}}))

    assert fault.path == f"forge.orgs.tools.teams.{team}"
    assert fault.message.startswith("The hive itself keeps a team")


@pytest.mark.parametrize("name", ["hyperhive-system", "hyperhive-administrator"])
def test_the_hives_own_accounts_are_nobody_elses(name: str) -> None:
    data = with_forge(kind="embedded", orgs={name: {}}) | {"operator": {"forgeAccount": name}}

    assert set(faults(data)) == {f"forge.orgs.{name}", "operator.forgeAccount"}


@pytest.mark.parametrize("settings", [{}, {"permission": "write"}, {"permission": "admin"}])
def test_a_team_that_could_push_to_the_docs_is_refused(settings: dict[str, Any]) -> None:
    teams = {"writers": settings | {"members": ["manager", "alice"]}}
    forge = {"kind": "embedded", "docs": {"org": "books"}, "orgs": {"books": {"teams": teams}}}
    fault = only_fault(with_alice() | {"forge": forge})

    assert fault.path == "forge.orgs.books.teams.writers.permission"
    assert 'permission = "read"' in fault.remedy


def test_a_team_that_reads_the_docs_or_is_of_those_who_push_is_fine() -> None:
    teams = {
        "readers": {"permission": "read", "members": ["alice"]},
        "writers": {"members": ["manager", "operator", "queen"]},
    }
    forge = {"kind": "embedded", "orgs": {"org-shared": {"teams": teams}}}

    parse(with_alice() | {"forge": forge}, BASE)


def test_an_address_of_a_forge_holds_no_user() -> None:
    assert only_fault(with_forge(url="http://me:secret@forge")).path == "forge.url"


def test_an_unknown_member_of_a_team_is_a_fault() -> None:
    orgs = {"tools": {"teams": {"core": {"members": ["queen", "rex"]}}}}

    assert only_fault(with_forge(orgs=orgs)).path == "forge.orgs.tools.teams.core.members[1]"


@pytest.mark.parametrize("org", ["queen", "admin"])
def test_an_organisation_cannot_have_the_name_of_an_account(org: str) -> None:
    assert only_fault(with_forge(orgs={org: {}})).path == f"forge.orgs.{org}"


def test_the_operators_account_cannot_be_an_agents() -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "operator": {"forgeAccount": "queen"}})

    assert fault.path == "operator.forgeAccount"


def test_an_agent_joins_only_organisations_there_are() -> None:
    data = with_alice(forge={"orgs": ["org-shared", "tool"]}) | {"forge": {"orgs": {"tools": {}}}}

    fault = only_fault(data)

    assert (fault.path, fault.remedy) == (
        "agents.alice.forge.orgs[1]",
        'Did you mean "tools"?',
    )


def test_a_longest_wait_below_the_first_is_a_fault() -> None:
    fault = only_fault({"agents": {"queen": QUEEN}, "restart": {"backoffMaxSeconds": 2}})

    assert (fault.path, fault.remedy) == ("restart.backoffMaxSeconds", "Write 5.0 or more.")


def test_an_agents_wait_is_held_against_the_hives_longest() -> None:
    assert (
        only_fault(with_alice(restart={"backoffSeconds": 700})).path
        == "agents.alice.restart.backoffMaxSeconds"
    )


def test_only_claude_can_ask_the_operator_for_permissions() -> None:
    driver = {"kind": "codex", "permissionPrompts": "operator"}
    fault = only_fault(with_alice(driver=driver))
    assert fault.path == "agents.alice.driver.permissionPrompts"
    assert "Only the driver claude" in str(fault)


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_an_agent_that_needs_a_model_needs_a_network(kind: str) -> None:
    fault = only_fault(with_alice(driver={"kind": kind}, network="none"))
    assert fault.path == "agents.alice.network"
    assert f"The driver {kind} reaches no model" in str(fault)
