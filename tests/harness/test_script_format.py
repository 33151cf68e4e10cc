import tomllib
from pathlib import Path
from typing import Any

import pytest

from hyperhive.harness.script_format import ScriptError, load_script, read_script
from hyperhive.harness.script_values import MissingValueError, contains, fill, look_up

SCOPE: dict[str, Any] = {
    "from": "queen",
    "id": 7,
    "body": "hello",
    "saved": {"answer": {"ids": [4, 5], "to": "bob"}},
}


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("[[rules]]", "the script: 'rules' is not known here. Known: rule."),
        ('[[rule]]\nnmae = "x"', "rule 1: 'nmae' is not known here. Known: name, on, once, step."),
        (
            '[[rule]]\nname = "hi"\non = { form = "x" }',
            "rule 1 ('hi'), on: 'form' is not known here.",
        ),
        ('[[rule]]\n[[rule.step]]\nsay = "x"\nsave = "y"', "rule 1, step 1: 'save' is not known"),
        ("[[rule]]\n[[rule.step]]\nargs = {}", "rule 1, step 1: a step does one of"),
        ('[[rule]]\n[[rule.step]]\nsay = "x"\nfail = "y"', "it has say and fail."),
        ("[[rule]]\n[[rule.step]]\nsay = 5", "rule 1, step 1: 'say' is a text, not 5."),
        ("[[rule]]\n[[rule.step]]\npause = -1", "'pause' is a number of seconds"),
        ("[[rule]]\n[[rule.step]]\npause = true", "'pause' is a number of seconds"),
        ('[[rule]]\n[[rule.step]]\nrun = "ls"', "'run' is a list of texts, program first"),
        ("[[rule]]\n[[rule.step]]\nrun = []", "'run' is a list of texts, program first"),
        ("[[rule]]\nonce = 1", "rule 1: 'once' is true or false, not 1."),
        ('[[rule]]\non = { body_matches = "(" }', "body_matches is no regular expression"),
        ('[[rule]]\n[[rule.step]]\nsay = "{form}"', "{form} is not known. Known: id, from"),
        (
            '[[rule]]\n[[rule.step]]\ncall = "send"\nexpect = { isError = true }',
            "rule 1, step 1, expect: 'isError' is not known here.",
        ),
        (
            '[[rule]]\n[[rule.step]]\nif = {}\nthen = [{ say = "a" }, { sya = "b" }]',
            "rule 1, step 1, then, step 2: a step does one of",
        ),
        ('[[rule]]\n[[rule.step]]\ncall = "x"\nsave = "A b"', "'save' is a name of small letters"),
        ('[[rule]]\nname = "a"\n[[rule]]\nname = "a"', "two rules are named 'a'"),
        ('[[rule]]\non = { kind = "dance" }', "'kind' is one of work, checkpoint, not 'dance'."),
    ],
)
def test_a_faulty_script_is_refused_with_the_place(script: str, fault: str) -> None:
    with pytest.raises(ScriptError) as error:
        read_script(tomllib.loads(script))
    assert fault in str(error.value)


def test_a_script_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="No such file"):
        load_script(tmp_path / "none.toml")


def test_a_script_that_is_not_toml_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("rule = ")
    with pytest.raises(ScriptError, match=r"a\.toml: not TOML"):
        load_script(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{id}", 7),
        ("{saved.answer.ids}", [4, 5]),
        ("{saved.answer.ids.1}", 5),
        ("{from} says {body} ({id})", "queen says hello (7)"),
        ('{{"from": "{from}"}}', '{"from": "queen"}'),
        ('{"a": 1}', '{"a": 1}'),
        ({"to": ["{from}"], "n": 3}, {"to": ["queen"], "n": 3}),
    ],
)
def test_a_template_is_filled(template: Any, value: Any) -> None:
    assert fill(template, SCOPE) == value


def test_a_missing_value_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(MissingValueError, match=r"no 'id' in 'saved\.answer'; it has ids, to"):
        look_up(SCOPE, "saved.answer.id")


@pytest.mark.parametrize(
    ("value", "part", "holds"),
    [
        ("hello", "ell", True),
        ("hello", "x", False),
        ([1, 2], 2, True),
        ({"a": 1}, "a", True),
        (5, 5, False),
    ],
)
def test_containing_means_text_item_or_key(value: Any, part: Any, *, holds: bool) -> None:
    assert contains(value, part) is holds
