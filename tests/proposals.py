"""A manager's side of a configuration: commits in the proposed repository, traps among them."""

import os
import subprocess
from pathlib import Path

_WHO = {
    f"GIT_{who}_{what}": "queen" if what == "NAME" else "queen@hive.invalid"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def git(repository: Path, *arguments: str, stdin: str = "") -> str:
    """Run git as the manager does in its box, and give what it says."""
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        input=stdin,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **_WHO},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.strip()


def commit(repository: Path, subject: str = "a change", **files: str) -> str:
    """Write files (``agent_json`` is ``agent.json``), commit them and give the commit's hash."""
    for name, text in files.items():
        path = repository / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", subject)
    return git(repository, "rev-parse", "HEAD")


def trapped(repository: Path, marker: Path) -> None:
    """Set every trap that we know of; each one that is sprung creates the marker."""
    shot = repository / "shot.sh"
    shot.write_text(f"#!/bin/sh\necho sprung >> {marker}\ncat\n")
    shot.chmod(0o755)
    inner = repository / ".git"
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"):
        (inner / "hooks").mkdir(exist_ok=True)
        (inner / "hooks" / hook).symlink_to(shot)
    (inner / "included").write_text(f"[core]\n\tfsmonitor = {shot}\n")
    with (inner / "config").open("a") as config:
        config.write(
            f"""
[include]
	path = included
[core]
	fsmonitor = {shot}
	sshCommand = {shot}
	pager = {shot}
	editor = {shot}
	hooksPath = {inner}/hooks
	worktree = /
	alternateRefsCommand = {shot}
	attributesFile = {repository}/.gitattributes
[diff]
	external = {shot}
[diff "trap"]
	command = {shot}
	textconv = {shot}
[filter "trap"]
	clean = {shot}
	smudge = {shot}
	process = {shot}
	required = true
[merge "trap"]
	driver = {shot}
[uploadpack]
	packObjectsHook = {shot}
[remote "origin"]
	url = ext::{shot}
	uploadpack = {shot}
	promisor = true
	vcs = trap
[extensions]
	partialClone = origin
[gc]
	auto = 1
	recentObjectsHook = {shot}
[alias]
	diff = !{shot}
	fetch = !{shot}
[credential]
	helper = !{shot}
[protocol]
	allow = always
"""
        )
