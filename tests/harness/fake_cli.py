"""Stands in for an agent program: keeps how it was called, and prints what it was told to.

Its plan is a directory: ``<n>.jsonl`` is what the n-th run prints, ``<n>.status`` its exit
status, ``<n>.wait`` makes it wait to be interrupted after that. ``<n>.call`` is what it was called
with.
"""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Do what the plan says for this run."""
    plan = Path(os.environ["FAKE_CLI_PLAN"])
    number = len(list(plan.glob("*.call"))) + 1
    call = {"argv": sys.argv[1:], "stdin": sys.stdin.read(), "environment": dict(os.environ)}
    for option in sys.argv[1:]:
        name, _, value = option.partition("=")
        if name in {"--mcp-config", "--append-system-prompt-file"}:
            call[name] = Path(value).read_text()
    (plan / f"{number}.call").write_text(json.dumps(call))
    printed = plan / f"{number}.jsonl"
    sys.stdout.write(printed.read_text() if printed.exists() else "")
    sys.stdout.flush()
    if (plan / f"{number}.wait").exists():
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        signal.pause()
    status = plan / f"{number}.status"
    return int(status.read_text()) if status.exists() else 0


if __name__ == "__main__":
    raise SystemExit(main())
