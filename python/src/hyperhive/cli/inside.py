"""The commands of a box, as the command line's library sees them.

`hyperhive.cli.main` runs them without it; these are for their help and for whatever else is written
besides the name.
"""

import click

from hyperhive.cli.boxes import run_bridge, run_harness
from hyperhive.cli.options import HiveCommand


@click.command(cls=HiveCommand)
def agent() -> int:
    """Run an agent's loop: wait for work, run one turn at a time, report it.

    A runtime starts this inside the agent's box; it reads HYPERHIVE_SOCKET and what else its box
    tells it from the environment.
    """
    return run_harness()


@click.command(cls=HiveCommand)
def mcp() -> int:
    """Bridge MCP on standard input and output to the agent's socket.

    A driver starts this as its MCP server; it reads HYPERHIVE_SOCKET and HYPERHIVE_TURN from the
    environment.
    """
    return run_bridge()
