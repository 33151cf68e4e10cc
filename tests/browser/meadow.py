"""A hive that has everything to show, for pictures and for tests of how the page looks."""

from typing import Final

from tests.browser.fake_hive import FakeHive
from tests.browser.hive_model import OPERATOR

DIFF: Final = """\
diff --git a/agent.nix b/agent.nix
--- a/agent.nix
+++ b/agent.nix
@@ -3,6 +3,7 @@
   driver.kind = "claude";
-  memoryMax = "1G";
+  memoryMax = "2G";
+  environment.RUST_LOG = "info";
   description = "reads the store";
"""


REMINDERS: Final = (
    ("alice", "Look whether the nightly run is green."),
    ("queen", "Ask bob how far the page on backups is."),
    ("carol", "Run the ten tests again when the pause is over."),
)


def fill(hive: FakeHive) -> None:
    """Let the hive live through a morning."""
    model = hive.model
    does = {"queen": "coordinates the others", "alice": "works on the store"}
    does |= {"bob": "writes the documentation", "carol": "runs the tests", "dora": "was new here"}
    for name in ("carol", "dora"):
        model.add_agent(name, declared=False)
    for place, (name, what) in enumerate(does.items()):
        chosen = "opus" if name == "queen" else "sonnet"
        facts = {"model": chosen, "declared_model": chosen, "bytes": 2 ** (26 - place)}
        model.change_agent(name, description=what, **facts)
    model.remove_agent("dora")
    model.set_state("carol", "rate_limited", "the model's service asked for a pause until 12:40")
    model.raise_alert("disk", "Less than 5 % of the disk is free: 12.4 GiB of 256 GiB.")
    model.set_status("alice", "measuring a commit of a hundred rows")
    model.send("queen", "alice", "Please find out why a commit takes 9 ms on the small machine.")
    model.send("queen", "bob", "Write down how a backup is restored; ask alice for the details.")
    model.send("bob", "alice", "Which files belong to a backup? The page says two, I see three.")
    model.send("carol", "queen", "All green but the harness: it fails on the small machine only.")
    model.send("queen", "carol", "Run those alone, ten times, and say how many fail.")
    model.send("carol", "queen", "Two of ten, by the turn limit. The log is /shared/runs/4.log.")
    model.send("queen", "alice", "Look at carol's log when the commit is done. No hurry.")
    model.send("bob", "alice", "Found it: the third file is the log. I write that down.")
    for number in (1, 2, 4, 5, 6):
        model.lease(number)
        model.ack(number)
    model.send("alice", OPERATOR, "The disk flushes twice. I have a patch; shall I propose it?")
    working(hive)
    deciding(hive)
    for name, text in REMINDERS:
        later = model.clock() + 5400
        model.remind(name, text, due_at=later, next_at=later)
    failed = model.remind("bob", "Publish the page on backups.", file_path="reminders/backups.md")
    told = "reminders/backups.md is a symbolic link: the text was not written"
    model.move_reminder(failed, "failed", attempts=5, last_error=told)
    model.set_forge()
    model.set_pull(1, title="store: one flush a commit", author="alice", reviewers=["queen"])
    model.set_pull(
        2, title="docs: restore a backup", author="bob", state="merged", merged_by="queen"
    )
    model.set_repositories("org-shared/docs", "org-shared/store")
    hive.audit = [
        {"id": 2, "at": model.clock(), "actor": OPERATOR, "via": "http", "verb": "approve",
         "subject": "approval 1", "digest": "3f2a9c71d08e44b1", "detail": {}},
        {"id": 1, "at": model.clock(), "actor": OPERATOR, "via": "admin socket", "verb": "backup",
         "subject": "hive", "digest": None, "detail": {}},
    ]  # fmt: skip
    hive.figures = {
        "since": model.clock() - 86_400,
        "step_seconds": 1800.0,
        "agents": {name: spent(index) for index, name in enumerate(("alice", "bob", "queen"))},
    }


def working(hive: FakeHive) -> None:
    """Let alice have ended a turn and be in another."""
    model = hive.model
    first = model.start_turn("alice")
    model.write_line(first, "text", text="I measure a commit first.")
    model.end_turn("alice", cost=0.42, context={"tokens": 61_000, "window": 200_000})
    turn = model.start_turn("alice")
    model.set_state("alice", "busy")
    model.write_line(turn, "thinking", text="Two flushes a commit: the table and its log.")
    model.write_line(turn, "tool_call", name="bash", arguments={"command": "strace -c ./commit"})
    model.write_line(turn, "tool_result", name="bash", result="fdatasync  2 calls  8.7 ms")
    model.write_line(turn, "text", text="The disk flushes twice. One of them is not needed.")
    model.write_line(turn, "tool_result", name="bash", result="no such file", is_error=True)


def deciding(hive: FakeHive) -> None:
    """Ask the operator for everything that one can be asked for."""
    model, now = hive.model, hive.model.clock()
    done = model.propose("queen", "Start a third worker for an hour", kind="spawn")
    model.decide(done, "done", result={"agent": "carol"})
    denied = model.propose("bob", "Delete the old backups")
    model.decide(denied, "denied", note="keep a month of them")
    details = "The build needs more than a gigabyte since the new parser. Seen in three runs."
    shown = {"details": details, "payload": {"commit": "4be1f0a", "diff": DIFF}, "agent": "alice"}
    model.propose(
        "queen", "Give alice two gigabytes", "config_change", shown, agent="alice",
        expires_at=now + 9000,
    )  # fmt: skip
    model.ask(
        "alice", "Which of the two patches shall I propose?", options=["one flush", "a batch"],
        expires_at=now + 5400,
    )  # fmt: skip
    model.ask("queen", "Who may read the docs?", options=["all", "workers"], multi=True)
    model.ask("bob", "Which files belong to a backup?", target="alice")
    answered = model.ask("bob", "May I rename the page on backups?")
    model.close_question(answered, "answered", "Yes, with a redirect.")


def spent(index: int) -> dict[str, list[float]]:
    """Give a day of figures, the same each time."""
    busy = [float((span * 7 + index * 5) % 9) if span % 5 else 0.0 for span in range(48)]
    return {
        "turns": busy,
        "messages": [2 * value for value in busy],
        "tokens": [4_000 * value for value in busy],
        "cost_usd": [0.07 * value for value in busy],
    }
