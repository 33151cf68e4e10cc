"""Where the program ``hyperhive`` begins.

The two commands that run inside a box, ``agent`` and ``mcp``, are started for every turn, so they
are dispatched before the command line's own library is imported. Whatever happens, an expected
failure is one line on standard error and an exit status: 0 done, 1 refused or failed, 2 wrong
usage, 130 interrupted.
"""

import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given == ["mcp"]:
            from hyperhive.cli.boxes import run_bridge

            return run_bridge()
        if given == ["agent"]:
            from hyperhive.cli.boxes import run_harness

            return run_harness()
        from hyperhive.cli.program import run

        return run(given)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
