"""The forge that is part of the hive, for machines without one: see docs/forge.md.

Bare repositories under the state directory, accounts and pull requests in the hive's database, git
by ``git http-backend``, and of Gitea's API what `hyperhive.domain.forge_port` needs.
"""

from hyperhive.forge.embedded.server import EmbeddedForge

__all__ = ["EmbeddedForge"]
