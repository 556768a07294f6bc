"""The benchmark of objectives: its networks are those of the tables, its ranks those of others."""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from archsearch.cost import cost

ROOT = Path(__file__).resolve().parents[1]
MACRO = ROOT.parent / "shared/data/nas_bench_macro_cifar10.csv.gz"


@pytest.fixture(scope="module")
def predict() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield import_module("predict")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize(
    ("code", "params", "macs"),
    [("00000000", 387_882, 7_713_280), ("11111111", 1_588_874, 53_246_464),
     ("20000000", 409_834, 17_854_976)],
)  # fmt: skip
def test_networks_of_nas_bench_macro(predict: Any, code: str, params: int, macs: int) -> None:
    """Figures of the published table."""
    counted = cost(predict.macro(code))
    assert (counted.params, counted.macs) == (params, macs)


def test_a_layer_that_is_nothing_can_stand_anywhere_behind_the_first(predict: Any) -> None:
    assert predict.macro("11101022") == predict.macro("11110022")
    assert predict.macro("11101022") != predict.macro("11011022")


def test_every_network_of_nas_bench_macro(predict: Any) -> None:
    if not MACRO.is_file():
        pytest.skip(f"reference file {MACRO.name} is not beside the repository")
    with gzip.open(MACRO, "rt") as file:
        rows = list(csv.DictReader(file))[::20]
    for row in rows:
        counted = cost(predict.macro(row["arch"]))
        assert (counted.params, counted.macs) == (int(row["params"]), int(row["flops"]))


def test_ranks_are_those_of_scipy(predict: Any) -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(40).astype(float)
    x = np.round(y / 8 + rng.normal(size=40))  # with ties
    assert predict.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    better = y >= np.median(y)
    assert predict.top_half(x, y) == pytest.approx(kendalltau(x[better], y[better]).statistic)
    one = np.zeros(40, dtype=int)
    pooled = predict.within(x, y, one, np.arange(40))
    assert pooled == pytest.approx(kendalltau(x, y).statistic)


def test_pairs_of_different_recipes_do_not_count(predict: Any) -> None:
    x, y = np.array([1.0, 2.0, 3.0, 9.0, 8.0]), np.array([5.0, 6.0, 7.0, 1.0, 2.0])
    recipes = np.array([0, 0, 0, 1, 1])
    signs = [
        np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        for i, j in combinations(range(5), 2)
        if recipes[i] == recipes[j]
    ]
    assert len(signs) == 4
    assert predict.within(x, y, recipes, np.arange(5)) == pytest.approx(sum(signs) / 4)
    x[0] = -np.inf  # what could not be judged is the worst, and two such are a tie
    x[1] = -np.inf
    assert predict.within(x, y, recipes, np.arange(5)) == pytest.approx(1 / np.sqrt(3 * 4))


def test_every_prediction_is_of_networks_that_were_held_out(predict: Any) -> None:
    seen: list[int] = []

    def predicted(kept: Any, others: Any) -> Any:
        assert not set(kept) & set(others)
        assert len(kept) + len(others) == 23
        seen.extend(others)
        return others.astype(float)

    assert predict.held_out(23, predicted).tolist() == list(range(23))
    assert sorted(seen) == list(range(23))


def test_intervals_hold_the_value(predict: Any) -> None:
    values = np.random.default_rng(1).normal(size=50)
    text = predict.interval(lambda rows: float(values[rows].mean()), 50, 200)
    value, low, high = map(float, text.replace("[", "").replace("]", "").replace(",", "").split())
    assert value == pytest.approx(values.mean(), abs=1e-3)
    error = values.std() / np.sqrt(50)
    assert value - 3 * error < low < value - error < value + error < high < value + 3 * error
