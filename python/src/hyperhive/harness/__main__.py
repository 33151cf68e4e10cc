"""``python -m hyperhive.harness`` is ``hyperhive agent``."""

import sys

from hyperhive.harness.main import main

if __name__ == "__main__":
    sys.exit(main())
