"""What a script remembers from turn to turn: which ``once`` rules are done, and what it saved."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperhive.harness.script_format import ScriptError


class ScriptState:
    """A small JSON file that is whole at every moment: each change replaces it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: list[str] = []
        self._saved: dict[str, Any] = {}
        try:
            data = json.loads(path.read_text())
            self._done = list(data["done"])
            self._saved = dict(data["saved"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ScriptError(
                f"{path} cannot be read: {error}. Remove it to begin anew."
            ) from error

    @property
    def saved(self) -> Mapping[str, Any]:
        """What was saved, by name."""
        return self._saved

    def is_done(self, rule: str) -> bool:
        """Whether the ``once`` rule of that name was played to its end."""
        return rule in self._done

    def forget(self) -> None:
        """Forget what was saved, as a new conversation does; what is done stays done."""
        self._saved.clear()
        self._write()

    def finish(self, rule: str) -> None:
        """Remember that the ``once`` rule is done."""
        self._done.append(rule)
        self._write()

    def save(self, name: str, value: Any) -> None:
        """Remember a value."""
        self._saved[name] = value
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"done": self._done, "saved": self._saved}))
        draft.replace(self._path)
