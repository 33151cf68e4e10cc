"""HTTP: the operator's API and page, and the harness's part of an agent's socket."""
