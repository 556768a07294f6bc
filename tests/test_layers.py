"""Who may import whom: every room of the package knows only the rooms below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "archsearch"

LAYERS = [
    "errors", "files", "interrupts", "own", "legality", "poly",
    "operator", "graph", "spatial", "operators", "recipes", "convolutions",
    "block", "blocks", "architecture",
    "cost", "entropy", "models", "serialization", "merge",
    "solver",
    "space", "points", "tables", "candidates", "budget", "handmade",
    "nets", "growth", "imported",
    "data", "training", "proxies", "scores", "fitted",
    "objectives", "devices", "shown", "explorers", "loading", "inputs", "fit", "design",
    "trials", "members", "tabular", "proposals", "surrogate", "studies", "strategies",
    "runs", "supernet", "evaluation", "ledger",
    "report", "save", "train", "evaluate", "workers", "search",
    "cli", "__main__", "__init__",
]  # fmt: skip
"""Lowest first. A module imports modules before it, never after; within a package, anything."""

PARTS = ("operators", "recipes", "convolutions", "blocks", "explorers", "strategies")
"""Packages of parts that know nothing of each other: adding one touches one file."""

HEAVY = {
    "torch",
    "networkx",
    "cvxpy",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "ray",
    "optuna",
}
"""Packages that are imported inside the functions that need them."""

TENSORS = ("nets", "growth", "imported", "training", "proxies", "supernet")
"""Packages that may import torch on load; nothing that the command line loads imports them."""


HOLDS_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
"""Where an import can stand: never in an expression."""


@dataclass(frozen=True)
class Import:
    """One import: where it stands, its absolute name, and whether loading the file runs it."""

    file: str
    line: int
    target: str
    at_load: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file but those for type checkers alone."""
    file = path.relative_to(ROOT.parent)
    package = file.parent.parts

    def visit(node: ast.AST, at_load: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, at_load)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(str(file), node.lineno, alias.name, at_load)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield Import(str(file), node.lineno, ".".join((*source, alias.name)), at_load)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, HOLDS_STATEMENTS):
                yield from visit(child, at_load and not inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), True)


FILES = sorted(p for p in ROOT.rglob("*.py") if "_data" not in p.parts)
IMPORTS = [found for path in FILES for found in imports_of(path)]


def layer_of_file(file: str) -> str:
    return Path(file).with_suffix("").parts[1]


def layer_of_target(target: str) -> str | None:
    """The room a name lies in; None for other packages and for names of ``archsearch`` itself."""
    package, *rest = target.split(".")
    if package != "archsearch":
        return None
    is_module = rest and any((ROOT / f"{rest[0]}{end}").exists() for end in ("", ".py"))
    return rest[0] if is_module else None


def test_every_module_has_a_place() -> None:
    modules = {layer_of_file(str(path.relative_to(ROOT.parent))) for path in FILES}
    missing = modules - set(LAYERS)
    assert not missing, f"say in LAYERS of {Path(__file__).name} where {sorted(missing)} belong"
    assert len(LAYERS) == len(set(LAYERS))


def test_imports_point_down() -> None:
    upward = [
        str(found)
        for found in IMPORTS
        if (target := layer_of_target(found.target)) is not None
        and layer_of_file(found.file) in LAYERS
        and target in LAYERS
        and LAYERS.index(target) > LAYERS.index(layer_of_file(found.file))
    ]
    assert not upward, "upward imports:\n" + "\n".join(upward)


def test_the_solver_knows_numbers_only() -> None:
    outside = {
        target
        for found in IMPORTS
        if layer_of_file(found.file) == "solver"
        and (target := layer_of_target(found.target)) not in (None, "solver", "errors")
    }
    assert not outside


@pytest.mark.parametrize("package", PARTS)
def test_parts_do_not_know_each_other(package: str) -> None:
    siblings = [
        str(found)
        for found in IMPORTS
        if found.file.startswith(f"archsearch/{package}/")
        and not found.file.endswith("__init__.py")
        and layer_of_target(found.target) == package
    ]
    assert not siblings, "sibling imports:\n" + "\n".join(siblings)


def test_heavy_packages_are_not_imported_on_load() -> None:
    eager = [
        str(found)
        for found in IMPORTS
        if found.at_load
        and (package := found.target.split(".")[0]) in HEAVY
        and not (layer_of_file(found.file) in TENSORS and package == "torch")
    ]
    assert not eager, "imported on load:\n" + "\n".join(eager)


def test_the_package_does_not_import_what_users_write() -> None:
    outside = [str(f) for f in IMPORTS if f.target.split(".")[0] in ("search_spaces", "objectives")]
    assert not outside


def test_describing_and_counting_load_nothing_heavy() -> None:
    """The same in a running interpreter: every room below ``nets``, and the command line."""
    names = [name for name in LAYERS[: LAYERS.index("nets")] if name in {p.stem for p in FILES}]
    packages = [name for name in LAYERS[: LAYERS.index("nets")] if (ROOT / name).is_dir()]
    modules = ", ".join(f"archsearch.{name}" for name in [*names, *packages, "cli"])
    code = f"import sys, {modules}; print(*({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert run.stdout.split() == []
