"""What a page asks of a hive in memory: made from the rows alone and never from events.

So a page which applied the events can be held against a snapshot taken later.
"""

from tests.browser.model.rows import (
    OPERATOR,
    Json,
    Rows,
    message_of,
    open_and_closed,
    shown,
    thread,
    utc,
)


class Asked(Rows):
    """Snapshots, pages and lists."""

    def snapshot(self) -> Json:
        """Give everything that a page begins with."""
        with self.changed:
            rows = [shown(m) for m in self.messages.values()]
            return {
                "seq": self.seq,
                "epoch": self.epoch,
                "at": self.clock(),
                "hive": {
                    "name": self.name,
                    "version": self.version,
                    "started_at": self.started_at,
                    "pauses": list(self.pauses),
                    "rollout": self.rollout,
                    "spent_today_usd": self.spent,
                    "limits": dict(self.limits),
                },
                "agents": [self.agent(name) for name in self.agents],
                "plan": list(self.plan),
                "messages": rows[-self.window :],
                "dead": [m for m in rows if m["state"] == "dead"],
                "operator": {
                    "unread": sum(m["to"] == OPERATOR and m["read_at"] is None for m in rows)
                },
                "alerts": [dict(alert) for alert in self.alerts.values()],
                "tombstones": [dict(stone) for stone in self.tombstones.values()],
                "questions": open_and_closed(self.questions),
                "approvals": open_and_closed(self.approvals),
                "reminders": self.reminding(),
                "forge": self.forge
                and {**self.forge, "pull_requests": open_and_closed(self.pulls)},
            }

    def agent(self, name: str) -> Json:
        """Give one agent with its inbox counted from the messages."""
        mine = [m["state"] for m in self.messages.values() if m["to"] == name]
        inbox = {state: mine.count(state) for state in ("queued", "leased", "dead")}
        row = self.agents[name]
        return {**row, "pauses": list(row["pauses"]), "inbox": inbox}

    def whole(self, ident: int) -> Json:
        """Give a message with its body and everything that happened to it."""
        with self.changed:
            history = [e for e in self.events if message_of(e) == ident]
            row = self.messages[ident]
            return {**shown(row), "body": row["body"], "history": history}

    def older(
        self, before: int | None, limit: int, agent: str | None = None, state: str | None = None
    ) -> Json:
        """Give a page of messages, newest first: to or from an agent, in a state."""
        with self.changed:
            rows = [
                m
                for i, m in self.messages.items()
                if (before is None or i < before)
                and agent in (None, m["from"], m["to"])
                and state in (None, m["state"])
            ]
            page = [shown(m) for m in reversed(rows[-limit:])]
            return {"messages": page, "more": len(rows) > limit}

    def reminding(self) -> Json:
        """Give the reminders that a page begins with, and how many of each agent there are."""
        counts: dict[str, Json] = {}
        for row in self.reminders.values():
            if row["state"] in ("pending", "failed"):
                mine = counts.setdefault(row["agent"], {"pending": 0, "failed": 0})
                mine[row["state"]] += 1
        held = [r for r in self.reminders.values() if r["state"] in ("pending", "failed")]
        return {"counts": counts, "rows": [dict(row) for row in held]}

    def threads(self, agent: str) -> Json:
        """List what hangs on an agent."""
        with self.changed:
            found = [*self._asked(agent), *self._sent(agent), *self._opened(agent)]
            found += [
                thread("approval", row, f"{row['kind']}, {row['state']}: {row['title']}", OPERATOR)
                for row in self.approvals.values()
                if row["requester"] == agent and row["closed_at"] is None
            ]
            found += [
                thread(
                    "reminder", row, f"{row['state']}, due {utc(row['due_at'])}: {row['preview']}"
                )
                for row in self.reminders.values()
                if row["agent"] == agent and row["closed_at"] is None
            ]
            return {"threads": found, "more": [], "seq": self.seq}

    def _asked(self, agent: str) -> list[Json]:
        rows = [row for row in self.questions.values() if row["state"] == "open"]
        owed = [row for row in rows if row["target"] == agent]
        asked = [row for row in rows if row["asker"] == agent and row["target"] != agent]
        return [
            *(thread("question", r, f"owes an answer: {r['question']}", r["asker"]) for r in owed),
            *(
                thread("question", r, f"waits for an answer: {r['question']}", r["target"])
                for r in asked
            ),
        ]

    def _sent(self, agent: str) -> list[Json]:
        leads = {"queued": "not yet taken up", "dead": "dead"}
        return [
            thread("message", row, f"{leads[row['state']]}: {row['body']}", row["to"])
            for row in self.messages.values()
            if row["from"] == agent and row["state"] in leads
        ]

    def _opened(self, agent: str) -> list[Json]:
        found = []
        for row in self.pulls.values():
            where = f"{row['repository']}#{row['number']}"
            if row["state"] != "open":
                continue
            if row["author"] == agent:
                text, other = "your pull request", ", ".join(row["reviewers"]) or None
            elif agent in row["reviewers"]:
                text, other = "to be reviewed by you", row["author"]
            else:
                continue
            shown = thread("pull_request", row, f"{where}, {text}: {row['title']}", other)
            found.append({**shown, "url": row["url"]})
        return found
