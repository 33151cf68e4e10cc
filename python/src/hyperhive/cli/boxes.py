"""The programs inside an agent's box, started without the command line's library."""


def run_bridge() -> int:
    """Run ``hyperhive mcp``: MCP over standard input and output to the agent's socket."""
    from hyperhive.harness.bridge import main

    return main()


def run_harness() -> int:
    """Run ``hyperhive agent``: wait for work, run turns, report them."""
    from hyperhive.harness.main import main

    return main()
