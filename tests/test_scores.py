"""Scores: the shipped ones by name, what cannot be judged, and ``archsearch score``."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import ENVIRONMENT, refused

from archsearch import models
from archsearch.architecture import Architecture, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.fitted import Fitted
from archsearch.loading import entries, find_objective, find_space
from archsearch.points import point_of
from archsearch.scores import Score
from archsearch.serialization import to_json

pytestmark = pytest.mark.usefixtures("own_folder")

BUILT = {"zen", "naswot", "synflow", "grad-norm", "snip", "zico"}
COUNTED = {"params", "macs", "receptive-field"}
TINY = Architecture(
    ConvNormAct(4), (Stage.of(BasicBlock(6), 2, stride=2, projects=True),), Classifier(3), (3, 6, 6)
)


@pytest.fixture
def tiny(own_folder: Path) -> str:
    (own_folder / "tiny.json").write_text(to_json(TINY))
    return "tiny.json"


def a_score(name: str) -> Score:
    found: Any = find_objective(name)
    assert isinstance(found, Score)
    return found


def test_every_shipped_score_is_found_by_its_name() -> None:
    scores = {e.name: e.value for e in entries("objective") if isinstance(e.value, Score)}
    assert {name for name, score in scores.items() if score.built} == BUILT
    assert {name for name, score in scores.items() if not score.built} == COUNTED
    for name, score in scores.items():
        assert score.name == name
        assert score.origin or not score.built


def test_counted_scores() -> None:
    """By hand: a 3x3 stem, two 3x3 each in two blocks, a projection, norms, the classifier."""
    convolutions = {36: 4 * 27, 9: 6 * 36 + 6 * 4 + 3 * 6 * 54}
    norms, classifier = 2 * (4 + 5 * 6), 6 * 3
    assert a_score("params").value(TINY) == sum(convolutions.values()) + norms + classifier + 3
    assert a_score("macs").value(TINY) == sum(n * w for n, w in convolutions.items()) + classifier
    assert a_score("receptive-field").value(TINY) == 1 + 2 + 2 + 2 * 2 * 3


def test_what_cannot_be_judged_is_the_worst() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert Score("own", lambda network, seed, v=value: v).value(TINY) == -math.inf  # type: ignore[misc]
        worst = Score("own", lambda network, seed, v=value: v, higher_is_better=False)  # type: ignore[misc]
        assert worst.value(TINY) == math.inf
    assert Score("own", lambda network, seed: seed).value(TINY, 7) == 7


def test_products_of_maps_overflow_the_synaptic_flow() -> None:
    """Each block of VAN squares it: that is no flow any more, and said as such."""
    van = replace(models.get("van_b0"), input=(3, 32, 32))
    assert a_score("synflow").value(van) == -math.inf


# -- the command ---------------------------------------------------------------------------------
def test_by_default_what_is_counted(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", tiny, "resnet18"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert {"params", "MACs", "receptive-field", "deepmad"} <= set(header.split())
    assert not BUILT & set(header.split())
    assert rows[0].split()[:2] == [tiny, "3x6x6"]
    assert rows[1].split()[:2] == ["resnet18", "3x224x224"]
    assert "11,689,512" in rows[1]


def test_all_of_them_as_data(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", tiny, "--objective", "all", "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (network,) = told["networks"]
    assert BUILT | COUNTED | {"deepmad"} <= set(network["scores"])
    assert told["seed"] == 3
    for name in BUILT | COUNTED:
        assert network["scores"][name] == a_score(name).value(TINY, 3)
    names = [objective["name"] for objective in told["objectives"]]
    assert names == list(network["scores"])


def test_some_of_them_at_another_input(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["score", tiny, "--objective", "naswot,params", "--input", "3x12x12", "--classes", "7"]
    assert main([*argv, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    other = replace(TINY, input=(3, 12, 12)).with_classes(7)
    assert network["scores"] == {
        "naswot": a_score("naswot").value(other), "params": a_score("params").value(other)
    }  # fmt: skip


def test_a_fitted_objective_predicts_networks_of_its_space(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = find_objective("imagenet-mobile")
    assert isinstance(fitted, Fitted)
    assert main(["score", "efficientnet_b0", tiny, "--json"]) == 0
    inside, outside = json.loads(capsys.readouterr().out)["networks"]
    point = point_of(find_space(fitted.space), models.get("efficientnet_b0"))
    assert inside["scores"][fitted.name] == fitted.predict(point)
    assert outside["scores"][fitted.name] is None
    told = refused(capsys, "score", tiny, "--objective", fitted.name)
    assert "the network has a stem and 1 stages, those of space mobile" in told


def test_what_cannot_be_judged_is_shown(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linear = replace(TINY, stem=None, stages=(Stage.of(ConvNormAct(5, activation=None)),))
    (own_folder / "linear.json").write_text(to_json(linear))
    argv = ["score", "linear.json", "--objective", "naswot"]
    assert main(argv) == 0
    assert capsys.readouterr().out.split()[-1] == "-"
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["scores"] == {"naswot": None}


def test_mistakes_are_answered_in_a_line(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, words in (
        (["--objective", "zem"], "no objective is named 'zem'; did you mean zen?"),
        (["--objective", "zen,,snip"], "write names with commas, such as zen,naswot"),
        (["--seed", "-1"], "--seed -1: give a whole number from 0"),
        (["--input", "3"], "--input 3: write channels and sizes"),
    ):
        assert words in refused(capsys, "score", tiny, *argv)
    assert "own.py" in refused(capsys, "score", tiny, "--objective", "own.py")
    Path("own.py").write_text(
        "from archsearch.objectives import Additive\n"
        "objective = Additive('own', lambda part, pick: 0.0)\n"
    )
    told = refused(capsys, "score", tiny, "--objective", "own.py")
    assert told.startswith("objective own values points of a space, not networks")


def test_counting_imports_no_torch(tiny: str) -> None:
    code = (
        "import sys\nfrom archsearch.cli import main\n"
        f"assert main(['score', {tiny!r}]) == 0\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, timeout=60)
