"""The promises on paper and the promises in tests are the same set."""

from pathlib import Path

import pytest

from tests.promises import faults

TWO_PROMISES = "# Promises\n\n- **M1** It is kept.\n- **M2** It comes in order.\n"
BOTH_KEPT = '@promise("M1")\ndef test_kept(): ...\n@promise("M2")\nasync def test_order(): ...\n'


class Check:
    """The check, run on a page of promises and one test file of its own."""

    def __init__(self, top: Path) -> None:
        self._promises = top / "docs" / "promises.md"
        self._tests = top / "tests"
        self._promises.parent.mkdir()
        (self._tests / "unit").mkdir(parents=True)

    def of(self, tests: str, promises: str = TWO_PROMISES, file: str = "test_it.py") -> list[str]:
        self._promises.write_text(promises)
        (self._tests / "unit" / file).write_text(tests)
        return faults(self._promises, self._tests)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(tmp_path)


def test_every_promise_has_a_test_and_every_promise_test_a_promise() -> None:
    found = faults()

    assert not found, "\n".join(found)


def test_promises_that_are_all_kept_pass(check: Check) -> None:
    assert check.of(BOTH_KEPT) == []


def test_a_promise_without_a_test_is_named_with_its_sentence(check: Check) -> None:
    found = check.of('@promise("M1")\ndef test_kept():\n    ...\n')

    assert found == ["M2 has no test: It comes in order."]


def test_a_test_that_names_an_unknown_promise_is_named(check: Check) -> None:
    found = check.of(BOTH_KEPT + '\n@promise("M9")\ndef test_more():\n    ...\n')

    assert found == ["tests/unit/test_it.py::test_more names M9, which is not promised."]


def test_one_test_can_keep_several_promises(check: Check) -> None:
    assert check.of('@promise("M1", "M2")\ndef test_both():\n    ...\n') == []


def test_a_test_in_a_class_keeps_promises(check: Check) -> None:
    tests = '@promise("M1")\nclass TestIt:\n    @promise("M2")\n    def test_order(self): ...\n'

    assert check.of(tests) == []


def test_a_promise_that_is_written_twice_is_a_fault(check: Check) -> None:
    found = check.of(BOTH_KEPT, TWO_PROMISES + "- **M2** It comes twice.\n")

    assert found == ["M2 is promised twice."]


def test_an_id_that_is_no_letter_and_number_is_a_fault(check: Check) -> None:
    found = check.of(BOTH_KEPT, TWO_PROMISES + "- **first** It comes.\n")

    assert found[0] == "'first' is no promise's id: a capital letter and a number."


def test_a_page_that_promises_nothing_is_a_fault(check: Check) -> None:
    assert check.of("", "# Promises\n") == ["promises.md promises nothing."]


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        ('@promise("M1", "M2")\ndef helps(): ...\n', "no test that pytest collects"),
        (
            'class Mailbox:\n    @promise("M1", "M2")\n    def test_it(self): ...\n',
            "no test that pytest collects",
        ),
        ('@promise("M1", "M2")\n@pytest.mark.skip\ndef test_it(): ...\n', "always skipped"),
        (
            '@pytest.mark.xfail(reason="x")\n@promise("M1", "M2")\ndef test_it(): ...\n',
            "expected to fail",
        ),
        (
            "@pytest.mark.skip\nclass TestIt:\n @promise('M1', 'M2')\n def test_it(self): ...\n",
            "always skipped",
        ),
        ("@promise(*ids)\ndef test_it(): ...\n", "strings, written out"),
        ("@promise()\ndef test_it(): ...\n", "strings, written out"),
    ],
)
def test_what_pytest_never_passes_keeps_no_promise(check: Check, tests: str, fault: str) -> None:
    found = check.of(tests)

    assert any(fault in sentence for sentence in found)
    assert "M1 has no test: It is kept." in found


def test_a_file_that_pytest_does_not_collect_keeps_no_promise(check: Check) -> None:
    found = check.of(BOTH_KEPT, file="mailboxes.py")

    assert "M1 has no test: It is kept." in found
