"""The rule that lets the server have containers started, run as polkit would run it."""

import json
import shutil
import subprocess
from typing import Any, Final

import pytest

from pytest_nixos import Evaluated

ACTION: Final = "org.freedesktop.systemd1.manage-units"
OTHER_VERBS: Final = (
    "reload",
    "reload-or-restart",
    "try-restart",
    "kill",
    "set-property",
    "reset-failed",
    "ref",
    "freeze",
    "",
)
OTHER_UNITS: Final = (
    "container@h-alice.mount",
    "container@h-alice.socket",
    "container@h-alice.slice",
    "container@h-alice.service.service.mount",
    "container@web.service",
    "container@h-.service",
    "container@h-Alice.service",
    "container@h-alice.service\n",
    "xcontainer@h-alice.service",
    "container-h-alice.service",
    "containerx@h-alice.service",
    "container@.service",
    "hyperhive.service",
    "hyperhive-deploy@.service",
    "hyperhive-deploy@../x.service",
    "hyperhive-deploy@alice.timer",
    "hyperhive-other@alice.service",
    "run-u1.service",
    "sshd.service",
    "multi-user.target",
)
ASKING: Final = """
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const rules = [];
const polkit = {
  Result: { YES: "yes", NO: "no", NOT_HANDLED: null },
  addRule: (rule) => rules.push(rule),
};
new Function("polkit", asked.rules)(polkit);
console.log(JSON.stringify(asked.questions.map(([id, details, user]) => {
  const action = { id, lookup: (key) => details[key] };
  return rules.map((rule) => rule(action, { user })).find((said) => said) ?? null;
})));
"""


def answers(found: Evaluated, *questions: tuple[str, dict[str, Any], str]) -> list[str | None]:
    """Ask the rules about each action, its details and who asks; ``None`` is polkit's default."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the rule is JavaScript")
    asked = {"rules": found.value("security.polkit.extraConfig"), "questions": questions}
    ran = subprocess.run(
        [node, "-e", ASKING],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    said: list[str | None] = json.loads(ran.stdout)
    return said


def about(unit: str, verb: str) -> tuple[str, dict[str, Any], str]:
    """Ask whether the server may do that with a unit."""
    return ACTION, {"unit": unit, "verb": verb}, "hyperhive"


def test_polkit_is_there(little: Evaluated) -> None:
    assert little.value("security.polkit.enable") is True


def test_the_server_starts_stops_and_restarts_containers(little: Evaluated) -> None:
    verbs = ("start", "stop", "restart")

    said = answers(little, *(about("container@h-alice.service", verb) for verb in verbs))

    assert said == ["yes", "yes", "yes"]


def test_the_server_has_a_deployment_started_and_nothing_else(little: Evaluated) -> None:
    unit = "hyperhive-deploy@alice.service"

    said = answers(little, *(about(unit, verb) for verb in ("start", "stop", "restart")))

    assert said == ["yes", "no", "no"]


def test_no_other_verb_is_allowed(little: Evaluated) -> None:
    said = answers(little, *(about("container@h-alice.service", verb) for verb in OTHER_VERBS))

    assert dict(zip(OTHER_VERBS, said, strict=True)) == dict.fromkeys(OTHER_VERBS, "no")


def test_no_other_unit_is_allowed(little: Evaluated) -> None:
    said = answers(little, *(about(unit, "start") for unit in OTHER_UNITS))

    assert dict(zip(OTHER_UNITS, said, strict=True)) == dict.fromkeys(OTHER_UNITS, "no")


def test_a_transient_unit_that_is_not_named_is_refused(little: Evaluated) -> None:
    assert answers(little, (ACTION, {}, "hyperhive")) == ["no"]


def test_a_unit_of_an_allowed_name_always_has_a_file_and_so_is_never_transient(
    little: Evaluated,
) -> None:
    """systemd makes no transient unit whose name, or template, has a file."""
    assert {"container@.service", "hyperhive-deploy@.service"} <= set(little.units)
    assert little.value("boot.enableContainers") is True


def test_everybody_else_and_every_other_action_is_left_to_polkit(little: Evaluated) -> None:
    start = {"unit": "container@h-alice.service", "verb": "start"}

    said = answers(
        little,
        (ACTION, start, "mallory"),
        (ACTION, start, "agent"),
        ("org.freedesktop.systemd1.manage-unit-files", start, "hyperhive"),
        ("org.freedesktop.login1.reboot", {}, "hyperhive"),
    )

    assert said == [None, None, None, None]
