# Makes the source in the current directory the next version: one whose database has a further table.
versions=src/hyperhive/store/migrations/versions
head=$(sed -n 's/^HEAD: Final = "\(.*\)"$/\1/p' src/hyperhive/store/migrate.py)

cat >"$versions/9999_next.py" <<PYTHON
"""What the next version keeps besides."""

from alembic import op

revision = "9999"
down_revision = "$head"


def upgrade() -> None:
    """Make it."""
    op.execute("CREATE TABLE next_version (id INTEGER PRIMARY KEY)")
PYTHON

sed -i \
  -e 's/^HEAD: Final = .*/HEAD: Final = "9999"/' \
  -e 's/^\(KNOWN: Final = .*\))$/\1, "9999")/' \
  src/hyperhive/store/migrate.py
