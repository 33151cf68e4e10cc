"""The operator's page: the files a browser gets, as they are.

There is no build step: what lies in ``static/`` is what is served, the two pages at ``/`` and
``/login`` and everything below ``/static/``. Nothing here is a template and nothing depends on who
asks, so every file may be cached and compressed. The page learns all that it shows from
``GET /api/state`` and ``GET /dashboard/stream``, and works under the strictest policy that the
server can send: no inline script or style, no other host, no frame.
"""

from pathlib import Path
from typing import Final

FILES: Final = Path(__file__).parent
STATIC: Final = FILES / "static"
INDEX: Final = STATIC / "index.html"
LOGIN: Final = STATIC / "login.html"
