"""A contract for import-linter that names what a package may import, and so forbids all the rest.

The built-in contracts list what is forbidden, and a list like that is never complete: the next
heavy library is not on it. Here a package is held to the names it was granted. Only direct
imports are looked at; what it imports from the project answers to a contract of its own.
"""

import sys
from dataclasses import dataclass

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

STANDARD_LIBRARY = "stdlib"
"""The word in ``may_import`` that grants every module of the standard library."""


@dataclass(frozen=True, slots=True)
class _Import:
    importer: str
    imported: str


class OnlyImports(Contract):
    """``modules``, with everything in them, import one another and ``may_import``, nothing else.

    Importing the root package itself is always granted: Python does it on the way to any module.
    """

    type_name = "only"

    modules = fields.ListField(subfield=fields.StringField())
    may_import = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect every direct import that was not granted."""
        packages = _strings(self.modules)
        granted = (*packages, *_strings(self.may_import))
        roots = {package.partition(".")[0] for package in packages}
        strays = [
            _Import(importer, imported)
            for importer in sorted(graph.modules)
            if _is_in(importer, packages) and not graph.is_module_squashed(importer)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported not in roots and not _is_granted(imported, granted)
        ]
        if verbose:
            output.print(f"{len(strays)} imports are not granted.")
        return ContractCheck(kept=not strays, metadata={"strays": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import that was not granted, and what is."""
        for stray in check.metadata["strays"]:
            output.print_error(f"{stray.importer} may not import {stray.imported}", bold=False)
        output.print_error(f"Granted: {', '.join(_strings(self.may_import))}.", bold=False)


def _strings(values: object) -> tuple[str, ...]:
    """Give a parsed field the type that import-linter's descriptors hide."""
    assert isinstance(values, list)
    return tuple(str(value) for value in values)


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_granted(module: str, granted: tuple[str, ...]) -> bool:
    if STANDARD_LIBRARY in granted and module.partition(".")[0] in sys.stdlib_module_names:
        return True
    return _is_in(module, granted)
