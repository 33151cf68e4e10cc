"""Hyperhive: a hive of AI coding agents, its control plane, harness and client library."""

__version__ = "0.1.0"
