"""How requests come in: sockets, HTTP, MCP, the page. A surface parses, calls a service, shows."""
