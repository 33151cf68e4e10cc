"""Where boxes run: one module for each runtime, all behind the port `Runtime`."""
