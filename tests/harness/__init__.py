"""The harness, its drivers and the bridge: real processes against a server that is not."""
