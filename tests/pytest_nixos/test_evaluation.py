"""What ``nixos_eval`` finds in a module, over nixpkgs' own ``lib`` or all of NixOS."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_nixos import Evaluated, EvaluationFailed, Evaluator, TookTooLong, nix
from pytest_nixos.evaluation import names

HERE: Final = Path(__file__).parent
GREETER: Final = HERE / "greeter.nix"
STUBS: Final = HERE / "stubs.nix"

Greeting = Callable[..., Evaluated]


@pytest.fixture
def greeting(nixos_eval: Evaluator) -> Greeting:
    """Evaluate the greeter, enabled, with the options given."""

    def evaluate(**options: object) -> Evaluated:
        config = {"services": {"greeter": {"enable": True, **options}}}
        return nixos_eval([GREETER], config, stubs=STUBS)

    return evaluate


def test_a_unit_has_the_sections_that_the_module_gave_it(greeting: Greeting) -> None:
    unit = greeting(port=9000).unit("greeter.service")

    assert unit.section("Unit")["After"] == "network.target nss-lookup.target"
    assert unit.section("Service")["PrivateTmp"] == "true"
    assert unit.section("Service")["ExecStart"].endswith("-greet 9000")
    assert unit.wanted_by == ("multi-user.target",)


def test_a_repeated_line_of_a_unit_is_there_as_often_as_it_was_given(greeting: Greeting) -> None:
    service = greeting().unit("greeter.service").section("Service")

    assert service.every("ReadWritePaths") == ["/srv/one", "/srv/two"]
    assert service["ReadWritePaths"] == "/srv/two"


def test_the_environment_of_a_unit_is_quoted(greeting: Greeting) -> None:
    service = greeting().unit("greeter.service").section("Service")

    assert '"GREETER_MOOD=good morning"' in service.every("Environment")


def test_a_section_that_a_unit_lacks_is_empty(greeting: Greeting) -> None:
    assert dict(greeting().unit("greeter.service").section("Timer")) == {}


def test_a_unit_that_is_not_there_is_an_error_that_names_those_that_are(
    greeting: Greeting,
) -> None:
    with pytest.raises(KeyError, match=r"greeter\.service"):
        greeting().unit("greter.service")


def test_a_file_has_its_text(greeting: Greeting) -> None:
    text = greeting(words={"alice": "hello"}).files["greeter/words.json"].text

    assert text is not None
    assert json.loads(text) == {"alice": "hello"}


def test_users_and_groups_have_their_numbers(greeting: Greeting) -> None:
    found = greeting()

    assert found.users["greeter"]["uid"] == 790
    assert found.groups["greeter"]["gid"] == 790


def test_an_assertion_that_fails_is_there_with_its_message(greeting: Greeting) -> None:
    assert greeting(port=80).failed == ["services.greeter.port is 80: set one of 1024 or more."]


def test_an_assertion_that_holds_is_not_among_those_that_failed(greeting: Greeting) -> None:
    found = greeting(port=8080)

    assert found.failed == []
    assert any(assertion.holds for assertion in found.assertions)


def test_an_assertion_that_holds_may_have_a_message_that_cannot_be_written(
    nixos_eval: Evaluator,
) -> None:
    module = '{ assertions = [ { assertion = true; message = throw "never read"; } ]; }'

    assert nixos_eval([module], {}).failed == []


def test_warnings_are_there_as_text(greeting: Greeting) -> None:
    assert greeting().warnings == ["The greeter has nothing to say."]
    assert greeting(words={"alice": "hello"}).warnings == []


def test_an_option_has_its_value_and_what_its_module_says_of_it(greeting: Greeting) -> None:
    option = greeting(port=9000).option("services.greeter.port")

    assert (option.value, option.default) == (9000, 8080)
    assert option.description == "Where it listens."
    assert "16 bit" in option.type
    assert option.declarations == (str(GREETER),)


def test_a_reference_has_every_option_below_a_path(greeting: Greeting) -> None:
    documented = {one.name: one for one in greeting().documented("services.greeter")}

    assert set(documented) == {f"services.greeter.{name}" for name in ("enable", "port", "words")}
    assert documented["services.greeter.port"].default == "8080"


def test_a_value_is_found_below_names_with_dots(greeting: Greeting) -> None:
    value = greeting().value('systemd.services."greeter".serviceConfig.User')

    assert value == "greeter"


def test_a_value_that_is_not_there_is_an_error_that_names_the_path(greeting: Greeting) -> None:
    with pytest.raises(EvaluationFailed, match=r"services\.greeter\.colour"):
        greeting().value("services.greeter.colour")


@pytest.mark.parametrize("bad", ["", "a..b", '"a', "a."])
def test_what_is_not_a_path_of_attributes_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        names(bad)


def test_a_value_of_a_wrong_type_is_an_error_that_names_the_option(nixos_eval: Evaluator) -> None:
    config = {"services": {"greeter": {"port": "eighty"}}}

    with pytest.raises(EvaluationFailed, match=r"services\.greeter\.port.*16 bit"):
        nixos_eval([GREETER], config, stubs=STUBS)


def test_an_option_that_nobody_declares_is_an_error(nixos_eval: Evaluator) -> None:
    config = {"services": {"greeter": {"prot": 1}}}

    with pytest.raises(EvaluationFailed, match=r"services\.greeter\.prot. does not exist"):
        nixos_eval([GREETER], config, stubs=STUBS)


def test_an_error_in_the_text_of_a_module_is_the_message_of_nix(nixos_eval: Evaluator) -> None:
    with pytest.raises(EvaluationFailed, match="syntax error"):
        nixos_eval(["{ a = ; }"], {})


def test_the_configuration_may_be_the_text_of_a_module(nixos_eval: Evaluator) -> None:
    config = "{ lib, ... }: { services.greeter = { enable = true; port = lib.mkForce 9001; }; }"

    found = nixos_eval([GREETER], config, stubs=STUBS)

    assert found.value("services.greeter.port") == 9001


def test_modules_get_the_arguments_of_the_test(nixos_eval: Evaluator) -> None:
    module = "{ mood, ... }: { warnings = [ mood ]; }"

    assert nixos_eval([module], {}, args={"mood": "sunny"}).warnings == ["sunny"]


def test_a_machine_inside_is_evaluated_with_the_modules_it_is_given(
    nixos_eval: Evaluator,
) -> None:
    config = f"""{{
      containers.inner.config = {{
        imports = [ {GREETER} ];
        services.greeter = {{ enable = true; port = 81; }};
        system = {{ stateVersion = "26.11"; }};
      }};
    }}"""
    if not nixos_eval.has_nixos:
        config = config.replace('system = { stateVersion = "26.11"; };', "")

    inner = nixos_eval([], config, stubs=STUBS).inside("containers.inner.config")

    assert inner.unit("greeter.service").section("Service")["User"] == "greeter"
    assert len(inner.failed) == 1


def test_equal_contents_are_evaluated_once(
    nixos_eval: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    config = {"services": {"greeter": {"enable": True, "port": 4321}}}

    nixos_eval([GREETER], config, stubs=STUBS)
    nixos_eval([GREETER], config, stubs=STUBS)

    assert calls == [1]


def test_another_content_of_the_same_file_is_evaluated_anew(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    module = tmp_path / "module.nix"
    module.write_text('{ warnings = [ "one" ]; }')
    first = nixos_eval([module], {}).warnings

    module.write_text('{ warnings = [ "two" ]; }')

    assert (first, nixos_eval([module], {}).warnings) == (["one"], ["two"])


def test_what_is_wanted_is_evaluated_in_the_same_run(
    nixos_eval: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    config = {"services": {"greeter": {"enable": True, "port": 4322}}}

    found = nixos_eval([GREETER], config, stubs=STUBS, want=["services.greeter.port"])

    assert found.value("services.greeter.port") == 4322
    assert calls == [1]


def test_an_evaluation_without_an_end_is_ended_at_its_limit_and_leaves_no_process(
    nixos_eval: Evaluator, tmp_path: Path
) -> None:
    nixpkgs = nix.look(os.environ)
    assert isinstance(nixpkgs, nix.Nixpkgs)
    endless = "{ warnings = builtins.genList (n: builtins.genList (m: m) 100000000) 1000000; }"

    with pytest.raises(TookTooLong, match=r"ended after 0\.2 s"):
        Evaluator(nixpkgs, tmp_path, seconds=0.2)([endless], {})

    assert children() == set()


def test_what_a_killed_command_has_started_is_gone_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "grandchild"
    command = ["sh", "-c", f"sleep 600 & echo $! > {mark}.new; mv {mark}.new {mark}; wait"]

    with pytest.raises(TookTooLong):
        nix.run(command, seconds=2.0)

    gone = Path("/proc") / mark.read_text().strip() / "cmdline"
    assert soon(lambda: not gone.exists() or gone.read_bytes() == b"")


def test_with_all_of_nixpkgs_a_module_is_evaluated_in_nixos_and_stubs_take_no_part(
    nixos_eval: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nixpkgs = nix.look(os.environ)
    assert isinstance(nixpkgs, nix.Nixpkgs)
    small = tmp_path / "nixpkgs"
    (small / "nixos" / "lib").mkdir(parents=True)
    (small / "lib").symlink_to(nixpkgs.lib)
    (small / "nixos" / "lib" / "eval-config.nix").write_text((HERE / "nixos.nix").read_text())
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={small}")
    monkeypatch.setenv("NIX_REMOTE", "dummy://")
    found = nix.look(os.environ)
    assert isinstance(found, nix.Nixpkgs)

    evaluate = Evaluator(found, tmp_path, seconds=60)
    greeting = {"services": {"greeter": {"enable": True, "port": 9000}}}
    machine = evaluate([GREETER], greeting, stubs=tmp_path / "there-is-none.nix")

    assert machine.has_nixos
    assert machine.unit("greeter.service").text == "[Unit]\nDescription=Greets, says NixOS\n"
    assert machine.files["greeter/words.json"].text == "{}"
    assert machine.failed == []


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count in the one number of the list how often Nix is run."""
    calls = [0]
    evaluate = nix.evaluate

    def counting(*args: Any, **options: Any) -> dict[str, Any]:
        calls[0] += 1
        return evaluate(*args, **options)

    monkeypatch.setattr(nix, "evaluate", counting)
    return calls


def children() -> set[str]:
    """Give the names of the processes that this one has started and not waited for."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    numbers = {number for task in tasks for number in task.read_text().split()}
    commands = {Path(f"/proc/{number}/comm").read_text().strip() for number in numbers}
    return {command for command in commands if "nix" in command}


def soon(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until ``holds``, at most so long."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()
