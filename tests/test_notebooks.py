"""The notebooks run from start to end: every cell as it is, but for how long it trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
IN_KERNEL = ROOT / "notebooks/fit.ipynb"
"""Run as Jupyter does; the others without the start of a process that has to import torch."""

SHORTER = {
    "search": {
        "trials=600": "trials=60",
        "trials=6,": "trials=3,",
        "trials=8,": "trials=4,",
        "epochs=3,": "epochs=1,",
        "epochs=4,": "epochs=1,",
    },
    "supernet": {
        "epochs=3,": "epochs=1,",
        "trials=16,": "trials=6,",
        "Random(1), 6": "Random(1), 3",
    },
    "train": {
        "epochs=10": "epochs=2",
        '["epoch"] == 4': '["epoch"] == 1',
        "4000 <= cost(member).params <= 5000": "cost(member).params <= 20_000",
    },
}
"""What stands in a notebook, and what is run in its place: that its cells work is tested, not what
is learnt in them."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of what a notebook starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "agg")


def test_there_are_notebooks() -> None:
    assert IN_KERNEL in NOTEBOOKS and len(NOTEBOOKS) > 1


def shortened(path: Path) -> Any:
    """The notebook, with what is run in place of what takes long."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for long, short in SHORTER.get(path.stem, {}).items():
        cells = [cell for cell in notebook.cells if long in cell.source]
        assert cells, f"{path.name} has no {long!r} any more: change SHORTER"
        for cell in cells:
            cell.source = cell.source.replace(long, short)
    return notebook


@pytest.mark.parametrize("path", sorted({*NOTEBOOKS} - {IN_KERNEL}), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:matplotlib")
def test_every_cell_runs(path: Path, own_folder: Path) -> None:
    """In this process and in an empty folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for i, cell in enumerate(shortened(path).cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<{path.name}, cell {i}>", "exec"), names)


def test_a_notebook_runs_in_a_kernel(tmp_path: Path) -> None:
    """An error in a cell is raised."""
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        shortened(IN_KERNEL),
        timeout=600,
        kernel_name="python3",
        resources=resources,
    ).execute()
