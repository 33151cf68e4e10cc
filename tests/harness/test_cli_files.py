"""Credentials, conversations and skills of an agent program, as files."""

from pathlib import Path

import pytest

from hyperhive.harness.drivers.cli_files import (
    Conversation,
    ConversationFile,
    CredentialError,
    link_skills,
    read_credentials,
)


class TestCredentials:
    def test_a_file_with_a_variables_name_is_its_value(self, tmp_path: Path) -> None:
        (tmp_path / "KEY").write_text("sk-1\n")
        (tmp_path / "OTHER").write_text("sk-2\n")
        found = read_credentials({"HYPERHIVE_CREDENTIALS": str(tmp_path)}, ("KEY", "MISSING"))
        assert found == {"KEY": "sk-1"}

    def test_without_a_directory_there_are_none(self) -> None:
        assert read_credentials({}, ("KEY",)) == {}

    @pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"a\0b"])
    def test_what_is_no_credential_is_refused_without_being_shown(
        self, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "KEY").write_bytes(content)
        with pytest.raises(CredentialError) as caught:
            read_credentials({"HYPERHIVE_CREDENTIALS": str(tmp_path)}, ("KEY",))
        assert "KEY" in str(caught.value)
        assert "lines" not in str(caught.value)

    def test_one_that_is_a_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "KEY").mkdir()
        with pytest.raises(CredentialError):
            read_credentials({"HYPERHIVE_CREDENTIALS": str(tmp_path)}, ("KEY",))


class TestConversations:
    def test_one_that_was_saved_is_loaded(self, tmp_path: Path) -> None:
        ConversationFile(tmp_path, "claude").save(Conversation("0ab-1", 3, 4))
        assert ConversationFile(tmp_path, "claude").load() == Conversation("0ab-1", 3, 4)

    def test_each_driver_has_its_own(self, tmp_path: Path) -> None:
        ConversationFile(tmp_path, "claude").save(Conversation("0ab-1"))
        assert ConversationFile(tmp_path, "codex").load() is None

    def test_one_that_was_forgotten_is_gone(self, tmp_path: Path) -> None:
        file = ConversationFile(tmp_path, "claude")
        file.save(Conversation("0ab-1"))
        file.forget()
        file.forget()
        assert file.load() is None

    def test_what_it_consumed_is_kept_with_it(self, tmp_path: Path) -> None:
        file = ConversationFile(tmp_path, "codex")
        file.save(Conversation("0ab-1"))
        file.count(10, 20)
        assert file.load() == Conversation("0ab-1", 10, 20)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            '{"id": 3}',
            '{"id": ""}',
            '{"id": "--help"}',
            '{"id": "a/../b"}',
            '{"id": "a", "input_tokens": "x"}',
            '{"id": "a", "more": 1}',
        ],
    )
    def test_a_file_that_makes_no_sense_begins_a_new_one(self, tmp_path: Path, text: str) -> None:
        file = ConversationFile(tmp_path, "claude")
        file.save(Conversation("0ab-1"))
        (tmp_path / ".hyperhive" / "claude-session.json").write_text(text)
        assert file.load() is None


class TestSkills:
    @pytest.fixture
    def docs(self, tmp_path: Path) -> Path:
        docs = tmp_path / "docs"
        for name in ("greet", "plan"):
            (docs / "skills" / name).mkdir(parents=True)
            (docs / "skills" / name / "SKILL.md").write_text(name)
        return docs

    def link(self, docs: Path, target: Path) -> dict[str, str]:
        link_skills({"HYPERHIVE_DOCS": str(docs)}, target)
        return {path.name: (path / "SKILL.md").read_text() for path in target.iterdir()}

    def test_each_skill_of_the_hive_is_there(self, docs: Path, tmp_path: Path) -> None:
        target = tmp_path / "home" / "skills"
        assert self.link(docs, target) == {"greet": "greet", "plan": "plan"}

    def test_the_agents_own_skill_wins(self, docs: Path, tmp_path: Path) -> None:
        target = tmp_path / "skills"
        (target / "greet").mkdir(parents=True)
        (target / "greet" / "SKILL.md").write_text("mine")
        assert self.link(docs, target)["greet"] == "mine"

    def test_a_skill_that_the_hive_gave_up_is_gone(self, docs: Path, tmp_path: Path) -> None:
        target = tmp_path / "skills"
        self.link(docs, target)
        (docs / "skills" / "plan" / "SKILL.md").unlink()
        assert set(self.link(docs, target)) == {"greet"}

    def test_a_home_that_cannot_be_written_is_no_reason_to_fail(
        self, docs: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "skills").write_text("a file")
        link_skills({"HYPERHIVE_DOCS": str(docs)}, tmp_path / "skills")
        assert (tmp_path / "skills").read_text() == "a file"
