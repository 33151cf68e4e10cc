"""What runs in an agent's box: the loop, its drivers, and the bridge from standard input to MCP.

A box starts one of these per agent, so everything here must start fast and stay small: the
standard library, ``h11`` and ``hyperhive.domain`` are all it may import.
"""
