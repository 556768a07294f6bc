"""Running the command line in tests: what it refuses, what it leaves, and a space file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archsearch.cli import main

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
"""For processes of their own."""

SPACE = """
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, widths

stages = (
    StageSpace(BasicBlock(widths(8, 16)), (1, 2)),
    StageSpace(BasicBlock(widths(8, 32)), (1, 2), stride=2),
)
space = SearchSpace("mine", ConvNormAct(8), stages, Classifier(10), (3, 32, 32))
"""


def remains(folder: Path) -> list[str]:
    """Everything below a folder, by relative path."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(
    capsys: pytest.CaptureFixture[str], *argv: str, status: int = 2, quiet: bool = True
) -> str:
    """Run a command that must be refused: its one line, without the program's name."""
    assert main(argv) == status
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("archsearch: ")
    assert "Traceback" not in captured.err
    assert not quiet or captured.out == ""
    return captured.err.removeprefix("archsearch: ").rstrip("\n")
