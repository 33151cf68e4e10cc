"""The tools that agents have, over MCP: the only place that knows the protocol's library."""
