"""Commands about the declaration: ``init`` and ``check-config``."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hyperhive.cli.options import HiveCommand
from hyperhive.cli.output import painted, print_json, printable
from hyperhive.cli.settings import Settings
from hyperhive.domain.errors import ConflictError

if TYPE_CHECKING:
    from hyperhive.config import Fault


@click.command(cls=HiveCommand)
@click.argument("path", type=click.Path(path_type=Path), default="hive.toml")
@click.pass_obj
def init(settings: Settings, path: Path) -> None:
    """Write a commented declaration to start from, to PATH (./hive.toml).

    A directory gets a hive.toml in it. A file that exists is never overwritten.
    """
    target = path / "hive.toml" if path.is_dir() else path
    text = files("hyperhive").joinpath("config", "starting_point.toml").read_text(encoding="utf-8")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(
            f"{target} exists already.", "Name another path, or move it away first."
        ) from None
    if settings.as_json:
        print_json({"path": str(target.absolute())})
    else:
        print(f"Wrote {target}. Next: edit it, `hyperhive check-config {target}`, `hyperhive up`.")


@click.command("check-config", cls=HiveCommand)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print the declaration's JSON Schema and exit.")
@click.pass_obj
def check_config(settings: Settings, file: Path | None, schema: bool) -> int:  # noqa: FBT001
    """Check the declaration FILE and name everything that is wrong with it.

    Each fault has its path, its value, what is wrong and what to write instead. Warnings name
    what this version does not act on yet; they do not fail the check. Without FILE, checks the
    declaration that the other commands would use.
    """
    from hyperhive import config

    if schema:
        from hyperhive.config.schema import schema as published_schema

        print(published_schema(), end="")
        return 0
    path = file or settings.config_path()
    try:
        hive = config.load(path)
    except config.DeclarationError as error:
        if settings.as_json:
            print_json(
                {"ok": False, "faults": [_fault(fault) for fault in error.faults], "warnings": []}
            )
        else:
            _print_faults(path, error.faults)
        return 1
    warnings = config.unused(hive)
    if settings.as_json:
        print_json({"ok": True, "faults": [], "warnings": warnings})
        return 0
    for warning in warnings:
        print(f"{painted('warning')}: {printable(warning)}")
    count = len(hive.agents)
    agents = "1 agent" if count == 1 else f"{count} agents"
    print(f"{printable(str(path))} is good: {agents}, manager {hive.manager_name}.")
    return 0


def _fault(fault: "Fault") -> dict[str, str | None]:
    return {
        "path": fault.path,
        "value": fault.value,
        "message": fault.message,
        "remedy": fault.remedy,
    }


def _print_faults(path: Path, faults: Sequence["Fault"]) -> None:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    print(f"{printable(str(path))} has {count}:")
    for fault in faults:
        place = f"{fault.path} = {fault.value}" if fault.value is not None else fault.path
        print(f"\n  {printable(place or 'the file')}")
        print(f"    {printable(fault.message)}")
        print(f"    → {printable(fault.remedy)}")
