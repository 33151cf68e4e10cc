"""What the hive remembers: the only place that knows SQL.

`Store` is the whole of it to the layers above: jobs that write, jobs that read, one query module
per noun, backups and restores.
"""

from hyperhive.store.store import Store
from hyperhive.store.transaction import Reading, Row, Writing

__all__ = ["Reading", "Row", "Store", "Writing"]
