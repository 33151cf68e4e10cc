import subprocess
import sys

LOOK = """
import sys
import hyperhive.demo.model.__main__
print(*sorted({"litestar", "mcp", "sqlalchemy", "pydantic"} & set(sys.modules)))
"""


def test_the_scripted_model_starts_without_the_server() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
