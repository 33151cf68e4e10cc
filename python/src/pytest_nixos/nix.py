"""Runs Nix: for a limited time, with its own words when it fails, and leaves no process behind.

What Nix can do here is found out once, by asking Nix itself, so that the answer is the one that an
evaluation would meet: the search path of ``NIX_PATH``, or Nix's own where that is not set.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROBE_SECONDS: Final = 60.0
_TAIL_CHARACTERS: Final = 20_000
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")

_LOOK: Final = """
let found = path: (builtins.tryEval (builtins.findFile builtins.nixPath path)); in {
  lib = let it = found "nixpkgs/lib"; in if it.success then toString it.value else null;
  nixos = (found "nixpkgs/nixos/lib/eval-config.nix").success;
  looked = map (entry:
    if entry.prefix == "" then entry.path else entry.prefix + "=" + entry.path) builtins.nixPath;
}
"""


class EvaluationFailed(Exception):  # noqa: N818
    """Nix refused: the message is Nix's own, without colours."""


class TookTooLong(EvaluationFailed):
    """Nix was ended at its time limit. Raise the limit, or evaluate less."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Why nothing can be evaluated here: a sentence that says what was looked for, and where."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nixpkgs:
    """The nixpkgs that Nix finds: its ``lib``, and whether all of NixOS is there with it."""

    instantiate: str
    lib: Path
    has_nixos: bool


def look(environment: Mapping[str, str]) -> Nixpkgs | Missing:
    """Find Nix on the ``PATH`` of ``environment``, and ``<nixpkgs/lib>`` as Nix looks for it."""
    instantiate = shutil.which("nix-instantiate", path=environment.get("PATH", ""))
    if instantiate is None:
        return Missing(
            "there is no nix-instantiate on PATH: install Nix (on Debian the package nix-bin)"
        )
    try:
        found = json.loads(
            run(
                [instantiate, "--store", "dummy://", "--eval", "--strict", "--json", "-E", _LOOK],
                seconds=PROBE_SECONDS,
                environment=environment,
            )
        )
    except EvaluationFailed as failure:
        return Missing(f"{instantiate} does not evaluate: {failure}")
    if found["lib"] is None:
        source = (
            f"NIX_PATH={environment['NIX_PATH']}"
            if "NIX_PATH" in environment
            else ("NIX_PATH is not set, Nix has its own")
        )
        looked = ", ".join(found["looked"]) or "nothing"
        return Missing(
            f"Nix finds no <nixpkgs/lib> ({source}; it looked in: {looked}): "
            "set NIX_PATH=nixpkgs=DIRECTORY, where DIRECTORY/lib is nixpkgs' own"
        )
    return Nixpkgs(instantiate, Path(found["lib"]), has_nixos=found["nixos"])


def evaluate(nixpkgs: Nixpkgs, request: Path, *, seconds: float) -> dict[str, Any]:
    """Evaluate what ``request`` asks of ``nix/evaluate.nix`` and give its answer.

    With ``lib`` alone nothing needs a store, and none is touched.
    """
    __tracebackhide__ = True
    store = [] if nixpkgs.has_nixos else ["--store", "dummy://"]
    asked = Path(__file__).with_name("nix") / "evaluate.nix"
    written = run(
        [
            nixpkgs.instantiate,
            *store,
            "--eval",
            "--strict",
            "--json",
            str(asked),
            "--argstr",
            "request",
            str(request),
        ],
        seconds=seconds,
    )
    answer: dict[str, Any] = json.loads(written)
    return answer


def run(
    command: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run ``command`` for at most ``seconds`` and give what it printed.

    Whatever way this ends, the process and all it started have ended and been waited for.
    """
    __tracebackhide__ = True
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=None if environment is None else dict(environment),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        printed, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _, said = _end(process)
        raise TookTooLong(
            f"{Path(command[0]).name} was ended after {seconds:g} s. It said:\n{_plain(said)}"
        ) from None
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        raise EvaluationFailed(
            _plain(said) or f"{command[0]} ended with {process.returncode} and said nothing"
        )
    return printed


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Kill the whole session of ``process``; its pipes are closed and it is waited for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()


def _plain(said: str) -> str:
    return _COLOURS.sub("", said).strip()[-_TAIL_CHARACTERS:]
