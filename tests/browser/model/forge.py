"""The forge of a hive in memory, and what its spawned agents were brought to."""

from typing import Any

from tests.browser.model.asked import Asked


class Forge(Asked):
    """Repositories, pull requests and deployments."""

    def set_forge(self, **facts: Any) -> None:
        """Say how the forge is; there is one from then on."""
        with self.changed:
            known = self.forge or {"kind": "embedded", "url": "http://forge/", "reason": None}
            self.forge = {**known, "state": "ready", **facts}
            self._emit("forge_changed", None, {"forge": dict(self.forge)})

    def set_repositories(self, *names: str) -> None:
        """Let the forge hold these repositories."""
        with self.changed:
            self.repositories = [
                {
                    "name": name, "description": f"what {name.partition('/')[2]} is about",
                    "url": f"http://forge/{name}", "clone_url": f"http://forge/{name}.git",
                    "branch": "main", "empty": False, "open_pulls": 1, "updated_at": self.clock(),
                }
                for name in names
            ]  # fmt: skip
            self._emit("forge_repositories_changed", None, {"repositories": len(names)})

    def set_pull(self, ident: int, **facts: Any) -> None:
        """Open or change a pull request."""
        with self.changed:
            blank = {
                "id": ident, "repository": "org-shared/docs", "number": ident, "state": "open",
                "title": "a change", "author": "alice", "reviewers": [], "merged_by": None,
                "head": "change", "base": "main", "at": self.clock(), "comments": 0,
                "url": f"http://forge/org-shared/docs/pulls/{ident}",
            }  # fmt: skip
            row = {**(self.pulls.get(ident) or blank), "updated_at": self.clock(), **facts}
            row["closed_at"] = None if row["state"] == "open" else row["updated_at"]
            self.pulls[ident] = row
            self._emit("pull_request_changed", None, {"pull_request": dict(row)})

    def deployed(self, name: str, commit: str, subject: str) -> None:
        """Let this be what a spawned agent was brought to last."""
        with self.changed:
            tags = [f"deployed/{len(self.deployments) + 1}"]
            row = {"commit": commit, "subject": subject, "author": "queen", "at": self.clock()}
            self.deployments.insert(0, {**row, "tags": tags})
            self.agents[name]["spawned"] = {"revision": commit}
            self._emit("agent_changed", name, {"agent": self.agent(name)})

    def redeployed(self, name: str, revision: str) -> None:
        """Let an agent have come up with an earlier state, which is a commit of its own."""
        self.deployed(name, f"{len(self.deployments):040}", f"Deploy {revision[:12]} again")
