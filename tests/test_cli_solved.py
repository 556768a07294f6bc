"""``archsearch design`` with the real solver, on a space small enough to go through by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, SPACE, refused, remains

from archsearch.cli import main
from archsearch.cost import cost
from archsearch.loading import find_objective, find_space
from archsearch.objectives import Entropy
from archsearch.serialization import read_architecture


@pytest.fixture(autouse=True)
def space_file(own_folder: Path) -> Path:
    path = own_folder / "mine.py"
    path.write_text(SPACE)
    return path


def test_the_best_of_all_networks_is_written(own_folder: Path) -> None:
    argv = ["design", "--budget", "9k-params", "--space", "mine.py", "--gap", "0%", "--quiet"]
    assert main([*argv, "--name", "best"]) == 0
    record = json.loads((own_folder / "runs/best/design.json").read_text())
    best = read_architecture(own_folder / "runs/best/architecture.json")
    space, objective = find_space("mine.py"), find_objective("deepmad")
    assert isinstance(objective, Entropy)
    values = [
        objective.value(network)
        for network in map(space.build, space.points())
        if cost(network).params <= 9_000 and objective.effectiveness(network) <= space.effectiveness
    ]
    assert cost(best).params <= 9_000
    assert record["value"] == pytest.approx(max(values), rel=1e-9)
    assert record["bound"] >= max(values) * (1 - 1e-9)
    assert record["gap"] <= 1e-6


def test_the_code_it_leaves_says_what_the_table_says(own_folder: Path) -> None:
    assert main(["design", "--budget", "9k-params", "--space", "mine.py", "--name", "best"]) == 0
    record = json.loads((own_folder / "runs/best/design.json").read_text())
    done = subprocess.run(
        [sys.executable, "-I", "runs/best/model.py"], capture_output=True, text=True, check=True
    )
    assert f"{record['networks'][0]['costs']['params']:,} parameters" in done.stdout
    assert "(1, 10)" in done.stdout


def test_a_run_can_be_shown_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["design", "--budget", "9k-params", "--space", "mine.py", "--name", "best"]) == 0
    assert main(["show", "best", "--json"]) == 0
    assert main(["compare", "runs/best", "resnet18"]) == 0
    assert "BasicBlock" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--budget", "2k-params"], "the smallest params this space can reach is 2,770"),
        (
            ["--budget", "9k-params", "--budget", "1k-memory"],
            "the smallest memory this space can reach",
        ),
        (
            ["--budget", "9k-params", "--budget", "1k-macs"],
            "the smallest macs this space can reach",
        ),
    ],
)
def test_what_no_network_can_meet(
    capsys: pytest.CaptureFixture[str], own_folder: Path, argv: list[str], message: str
) -> None:
    line = refused(capsys, "design", "--space", "mine.py", *argv, quiet=False)
    assert message in line
    assert not (own_folder / "runs").exists()


def test_no_torch_is_loaded(own_folder: Path) -> None:
    code = (
        "import sys\nfrom archsearch.cli import main\n"
        "assert main(['design', '--budget', '9k-params', '--space', 'mine.py', '--quiet']) == 0\n"
        "assert not {'torch', 'ray', 'cvxpy', 'matplotlib', 'networkx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT, timeout=60)
    assert "runs/mine-9k-params/report.html" in remains(own_folder)
