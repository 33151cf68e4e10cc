"""Evaluates modules with a configuration: each content once in a session.

A request is a file of JSON that ``nix/evaluate.nix`` reads; its contents, with those of the module
files, are what results are remembered by.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_nixos import nix
from pytest_nixos.evaluated import Evaluated

STANDARD: Final = ("assertions", "warnings", "units", "files", "users", "groups")


class Evaluator:
    """Evaluates over one nixpkgs. What the fixture ``nixos_eval`` gives."""

    def __init__(self, nixpkgs: nix.Nixpkgs, directory: Path, *, seconds: float) -> None:
        self._nixpkgs: Final = nixpkgs
        self._directory: Final = directory
        self._seconds: Final = seconds
        self._known: Final[dict[str, Any]] = {}

    @property
    def has_nixos(self) -> bool:
        """Whether all of NixOS takes part; if not, stubs declare what the modules set."""
        return self._nixpkgs.has_nixos

    def __call__(
        self,
        modules: Sequence[Path | str],
        config: Mapping[str, Any] | str,
        *,
        stubs: Path | Sequence[Path] = (),
        args: Mapping[str, Any] | None = None,
        want: Sequence[str] = (),
    ) -> Evaluated:
        """Evaluate ``modules`` with ``config`` and give what came out.

        A module is the path of a file, or the Nix text of one. ``config`` is a mapping, or the Nix
        text of a module. ``stubs`` are modules that take part only where NixOS does not. ``args``
        are further arguments of every module, ``want`` paths whose values are evaluated in the same
        run of Nix rather than in one each.

        Raises ``EvaluationFailed`` with the message of Nix. Assertions that fail raise nothing:
        they are in ``failed``.
        """
        files = [self._file(module) for module in modules]
        if isinstance(config, str):
            files.append(self._file(config))
            config = {}
        stub_files = [stubs] if isinstance(stubs, Path) else list(stubs)
        asked = {
            "nixos": self._nixpkgs.has_nixos,
            "modules": [str(module.absolute()) for module in files],
            "stubs": [str(stub.absolute()) for stub in stub_files],
            "config": _json(config),
            "args": _json(args or {}),
        }
        return self._machine(asked, _digest(asked, [*files, *stub_files]), "", want)

    def _machine(
        self, asked: Mapping[str, Any], key: str, within: str, want: Sequence[str]
    ) -> Evaluated:
        """Evaluate the machine itself, or one that it holds at ``within``."""

        def more(kind: str, path: str) -> Any:
            wish = _wish(kind, path, within)
            return self._ask(asked, key, [wish])[wish["key"]]

        def inside(path: str) -> Evaluated:
            return self._machine(asked, key, f"{within}.{path}" if within else path, ())

        standard = [_wish(kind, "", within) for kind in STANDARD]
        answers = self._ask(
            asked, key, [*standard, *(_wish("value", path, within) for path in want)]
        )
        return Evaluated(
            {wish["kind"]: answers[wish["key"]] for wish in standard},
            more,
            inside,
            has_nixos=self._nixpkgs.has_nixos,
        )

    def _ask(
        self, asked: Mapping[str, Any], key: str, wishes: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Answer each wish, from memory where this content has been asked for it before."""
        missing = [wish for wish in wishes if f"{key} {wish['key']}" not in self._known]
        if missing:
            text = json.dumps({**asked, "wishes": missing})
            request = self._directory / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
            request.write_text(text)
            for name, answer in nix.evaluate(self._nixpkgs, request, seconds=self._seconds).items():
                self._known[f"{key} {name}"] = answer
        return {wish["key"]: self._known[f"{key} {wish['key']}"] for wish in wishes}

    def _file(self, module: Path | str) -> Path:
        if isinstance(module, Path):
            return module
        path = self._directory / f"{hashlib.sha256(module.encode()).hexdigest()[:16]}.nix"
        path.write_text(module)
        return path


def names(path: str) -> list[str]:
    """Split a path of attributes at its dots: ``a."b.c".d`` has three names."""
    found = [""]
    quoted = False
    for character in path:
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            found.append("")
        else:
            found[-1] += character
    if quoted or "" in found:
        raise ValueError(f"{path!r} is not a path of attributes")
    return found


def _wish(kind: str, path: str, within: str) -> dict[str, Any]:
    return {
        "key": f"{kind} of {path!r} within {within!r}",
        "kind": kind,
        "path": names(path) if path else [],
        "within": names(within) if within else [],
    }


def _json(value: Mapping[str, Any]) -> Any:
    """Make ``value`` JSON, with paths as their text."""
    return json.loads(json.dumps(value, default=str))


def _digest(asked: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Tell contents apart: the request, the files it names and the Nix files beside them."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for directory in sorted({file.absolute().parent for file in files}):
        for file in sorted(directory.glob("*.nix")):
            digest.update(f"\0{file}\0".encode() + file.read_bytes())
    return digest.hexdigest()
