"""The entropy objective against hand formulas and against the released DeepMAD code's figures; what
is listed, and what files of objectives cannot be read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch import models
from archsearch.architecture import Architecture, Stage
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.entropy import main_path
from archsearch.errors import BadFile, UserError
from archsearch.loading import find_objective
from archsearch.models.deepmad import from_released
from archsearch.objectives import Combination, Trained

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "deepmad_structures.json"
needs_reference = pytest.mark.skipif(
    not REFERENCE.exists(), reason=f"needs {REFERENCE.name} of the shared reference data"
)


@given(
    rows=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), min_size=1, max_size=4),
    stem=st.integers(1, 4),
)
def test_entropy_of_a_residual_network_follows_the_papers_formula(rows, stem):
    """H_m = log(r^2 c) * sum log(c_i k_i^2), weights 1 ... 1, 8, minus 10 exp(var(depths))."""
    stages = tuple(
        Stage.of(Bottleneck(16 * n, expansion=1), depth, stride=2, projects=True)
        for n, depth in rows
    )
    network = Architecture(ConvNormAct(4 * stem, 2), stages, Classifier(), (3, 64, 64))
    entropy, size, before, terms = math.log(3 * 9), 32, 4 * stem, []
    terms.append(entropy * math.log(size**2 * before))
    for n, depth in rows:
        for _ in range(depth):
            width = 16 * n
            entropy += math.log(before) + math.log(width * 9) + math.log(width)
            before = width
        size //= 2
        terms.append(entropy * math.log(size**2 * before))
    spread = math.exp(pvariance([depth for _, depth in rows]))
    expected = sum(terms[:-1]) + 8 * terms[-1] - 10 * spread
    assert find_objective("deepmad").value(network) == pytest.approx(expected, rel=1e-12)


def test_shortcuts_and_squeeze_excitation_are_not_on_the_main_path():
    scope = models.get("regnety_004").trace()
    body = [child for child in scope.children if child.name != "head"]
    names = [node.name for part in body for node in main_path(part)]
    assert len(names) == 1 + 3 * 16
    assert not any("shortcut" in name or ".se." in name for name in names)


def released() -> list[dict]:  # type: ignore[type-arg]
    return json.loads(REFERENCE.read_text())["published"] if REFERENCE.exists() else []


@needs_reference
@pytest.mark.parametrize("row", released(), ids=lambda row: row["name"])
def test_released_score_of_every_published_structure(row):
    network = from_released(row["structure"], row["resolution"])
    objective, repaired = find_objective("deepmad_released"), find_objective("deepmad_repaired")
    nodes = list(network.trace().nodes())
    assert sum(objective.costs["params"](n) for n in nodes) == row["code_params_backbone"]
    assert sum(objective.costs["macs"](n) for n in nodes) == row["code_MACs"]
    assert objective.value(network) == pytest.approx(row["objective_released_code"], rel=1e-9)
    assert repaired.value(network) == pytest.approx(row["objective_resolution_bug_fixed"], rel=1e-9)
    assert objective.effectiveness(network) == pytest.approx(row["rho"], rel=1e-9)


def test_released_score_of_deepmad_r18():
    """The published figures of the network everybody has, for those without the reference data."""
    network, objective = models.get("deepmad_r18"), find_objective("deepmad_released")
    nodes = list(network.trace().nodes())
    assert sum(objective.costs["params"](n) for n in nodes) == 11_153_088
    assert sum(objective.costs["macs"](n) for n in nodes) == 1_837_323_208
    assert objective.effectiveness(network) == pytest.approx(0.2990955537)
    assert objective.value(network) == pytest.approx(32_085.39694913)


@pytest.mark.parametrize(
    ("kind", "widths"),
    [("SuperResK1KX", (3 * 9, 8, 16 * 9)), ("SuperResKXKX", (3 * 9, 8 * 9, 16 * 9))],
)
def test_the_two_convolution_blocks_of_the_released_code(kind, widths):
    """K1KX and KXKX: fan-ins of one block after the stem, straight from their names."""
    rows = [
        {"class": "ConvKXBNRELU", "in": 3, "out": 8, "k": 3, "s": 2},
        {"class": kind, "in": 8, "out": 24, "k": 3, "s": 2, "btn": 16, "L": 1},
    ]
    body = from_released(rows, 32).trace().children[:-1]
    fan_ins = [node.op.fan_in(*node.x) for part in body for node in main_path(part)]
    assert tuple(fan_ins) == widths


def test_the_list_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "objectives", "--json"]) == 0
    rows = {
        row["name"]: (row["design"], row["search"]) for row in json.loads(capsys.readouterr().out)
    }
    assert rows["accuracy"] == ("no", "train")
    assert rows["zen"] == ("no", "build")
    assert rows["params"] == ("no", "count")
    assert rows["deepmad"] == rows["imagenet-mobile"] == ("yes", "count")


def test_what_is_for_searches_alone_is_refused_elsewhere(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(find_objective("accuracy"), Trained)
    for command in (["score", "resnet18"], ["design", "--budget", "5M-params"]):
        assert main([*command, "--objective", "accuracy"]) == 2
        told = capsys.readouterr().err
        assert "objective accuracy is" in told and "archsearch search" in told


def test_a_file_may_combine_others_or_be_no_text(own_folder: Path) -> None:
    Path("own.py").write_text(
        "from archsearch.objectives import Combination\n"
        "objective = Combination('own', ('zen', 'macs'), lambda zen, macs: zen / macs)\n"
    )
    assert isinstance(find_objective("./own.py"), Combination)
    Path("latin.py").write_bytes(b"# -*- coding: ascii -*-\n# caf\xe9\n")
    with pytest.raises(BadFile, match="latin.py: .*ascii"):
        find_objective("./latin.py")
    Path("none.py").write_text(
        "from archsearch.objectives import Combination\nobjective = Combination('own', (), max)\n"
    )
    with pytest.raises(UserError, match="none.py, line 2: ValueError: of .*: name the objectives"):
        find_objective("./none.py")
