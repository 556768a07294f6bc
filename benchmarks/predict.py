"""Do training-free objectives predict accuracy? Rank correlations with three public tables.

The tables are Accel-NASBench (3,536 networks of the MnasNet space, trained on ImageNet with a
reduced recipe; Ahmad et al. 2024), NAS-Bench-Macro (all 6,561 codes of a CIFAR-10 space; Su et al.
2021) and timm's ImageNet results, compared within one training recipe only. They are no part of
the package:

    python benchmarks/predict.py FOLDER

What is counted is counted of all networks; what is measured of a built network, of a sample, on 16
inputs. Additive objectives are fitted to the same table in five parts, each part predicted by a fit
of the other four. Brackets hold 95 % bootstrap intervals over networks; the better half is that of
the true accuracy.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

import fit_imagenet
import numpy as np
import numpy.typing as npt
from measure import cpu_seconds, print_table

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.fit.model import Columns, fit_saturating, warps
from archsearch.fit.ridge import ridge
from archsearch.fit.table import read_table
from archsearch.loading import find_architecture, find_objective, find_space
from archsearch.objectives import Entropy
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.operators.pooling import GlobalPool
from archsearch.scores import Score

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BUILT = ("zen", "naswot", "synflow", "grad-norm", "snip", "zico")
FITTED = "fitted (held out)"
FOLDS = 5
MOST_PARAMS = 50_000_000
"""Larger ones of timm's networks are left out: they would take most of the time."""
FEWEST_OF_A_RECIPE = 5
FLATTENED = ("vgg11", "vgg16", "vgg16_bn")
"""Networks whose parameters depend on the input's size: they are not judged at another one."""


@dataclass(frozen=True, eq=False)
class Table:
    """Networks, all different, with their accuracies (networks,); for every row of the source
    (rows,) the number of its network."""

    networks: tuple[Architecture, ...]
    accuracies: Array
    numbers: Integers

    def only(self, rows: Sequence[int]) -> Table:
        chosen = tuple(self.networks[i] for i in rows)
        return Table(chosen, self.accuracies[list(rows)], np.arange(len(rows)))


# -- the tables ------------------------------------------------------------------------------------
def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def distinct(networks: Sequence[Architecture], accuracies: Sequence[float]) -> Table:
    """A network that stands in several rows has their mean."""
    found: dict[Architecture, list[float]] = {}
    for network, accuracy in zip(networks, accuracies, strict=True):
        found.setdefault(network, []).append(accuracy)
    number = {network: i for i, network in enumerate(found)}
    means = np.array([fmean(values) for values in found.values()])
    return Table(tuple(found), means, np.array([number[network] for network in networks]))


def check(name: str, networks: Sequence[Architecture], *theirs: Sequence[int]) -> None:
    """Say how many networks have the parameters and MACs that the table tells."""
    ours = [[cost(network).params for network in networks], [macs(name, n) for n in networks]]
    same = [
        sum(a == b for a, b in zip(*pair, strict=True)) for pair in zip(ours, theirs, strict=True)
    ]
    print(f"{name}: parameters equal in {same[0]:,}, MACs in {same[1]:,} of {len(networks):,} rows")


def macs(name: str, network: Architecture) -> int:
    """MACs as the table counts them. Accel-NASBench took thop's, which adds 4 for each number that
    is normalised, and the additions and divisions of global pools."""
    total: int = cost(network).macs
    if name == "Accel-NASBench":
        for node in network.trace().nodes():
            if isinstance(node.op, BatchNorm):
                total += 4 * node.shape.numel
            elif isinstance(node.op, GlobalPool):
                total += node.x[0].numel + node.shape.numel
    return total


def accel_nasbench(path: Path) -> tuple[Table, Array]:
    """Networks of space ``mobile``, and what an additive objective predicts of them unseen."""
    space, rows = find_space("mobile"), rows_of(path)
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "table.csv"
        choices = list(fit_imagenet.converted(path))
        with converted.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(choices[0]))
            writer.writeheader()
            writer.writerows(choices)
        table = read_table(converted, space, find_architecture)
    networks = [space.build(point) for point in table.points]
    check(
        "Accel-NASBench",
        networks,
        [round(1e6 * float(row["params_m"])) for row in rows],
        [round(1e6 * float(row["macs_m"])) for row in rows],
    )
    own = distinct(networks, [float(row["val_top1"]) for row in rows])
    place = dict(zip(networks, table.points, strict=True))
    columns = Columns.of(space, [place[network] for network in own.networks])

    def predicted(kept: Integers, others: Integers) -> Array:
        model = fit_saturating(columns, kept, own.accuracies[kept], higher_is_better=True)
        parts = [{path: values[others] for path, values in part.items()} for part in columns.places]
        return model.predict(parts)

    return own, held_out(len(own.networks), predicted)


def macro(code: str) -> Architecture:
    """A network of NAS-Bench-Macro: eight layers in stages of 2, 3 and 3, each 0 (nothing; at the
    head of a stage a strided 1x1), 1 (kernel 3, expansion 3) or 2 (kernel 5, expansion 6)."""
    stages = []
    for width, layers in ((64, code[:2]), (128, code[2:5]), (256, code[5:])):
        runs = []
        for i, layer in enumerate(layers):
            block = InvertedResidual(
                width,
                expansion=6 if layer == "2" else 3,
                conv=depthwise(5 if layer == "2" else 3),
                activation=ReLU(),
            )
            if layer != "0":
                runs.append(Run(block if i else replace(block, stride=2, projects=True)))
            elif i == 0:
                runs.append(Run(ConvNormAct(width, 2, conv=Convolution(), activation=None)))
        stages.append(Stage(tuple(runs)))
    last = Stage.of(ConvNormAct(1280, conv=Convolution()))
    return Architecture(ConvNormAct(32), (*stages, last), Classifier(10), (3, 32, 32))


def nas_bench_macro(path: Path) -> tuple[Table, Array]:
    """Distinct networks (where no layer stands behind layers or not is the same), and what a sum of
    scores of their three stages and of neighbouring stages predicts of them unseen."""
    rows = rows_of(path)
    networks = [macro(row["arch"]) for row in rows]
    counts = [[int(row[name]) for row in rows] for name in ("params", "flops")]
    check("NAS-Bench-Macro", networks, *counts)
    own = distinct(networks, [float(row["mean_acc"]) for row in rows])
    columns, groups = one_hot([network.stages[:3] for network in own.networks])

    def predicted(kept: Integers, others: Integers) -> Array:
        values = own.accuracies[kept]
        fits = [(ridge(columns[kept], w(values), groups), w) for w in warps(values, True)]
        fit, warp = max(fits, key=lambda each: each[0].evidence + each[1].log_slope(values))
        return warp.back(columns[others] @ fit.weights + fit.intercept)

    return own, held_out(len(own.networks), predicted)


def one_hot(stages: Sequence[Sequence[Stage]]) -> tuple[Array, Integers]:
    """A column for every stage that there is in a place, and for every number of blocks in one
    place together with that in the next; a group for each place or pair of places."""
    keys = []
    for own in stages:
        depths = [blocks_of(stage) for stage in own]
        pairs = [(len(own) + i, pair) for i, pair in enumerate(pairwise(depths))]
        keys.append([*enumerate(own), *pairs])
    names = sorted({key for row in keys for key in row}, key=lambda key: key[0])
    matrix = np.array([[float(name in row) for name in names] for row in map(set, keys)])
    return matrix, np.array([group for group, _ in names])


def held_out(count: int, predicted: Callable[..., Array]) -> Array:
    """Every network's prediction by a fit of the parts it is not in."""
    parts = np.array_split(np.random.default_rng(0).permutation(count), FOLDS)
    values = np.zeros(count)
    for i, others in enumerate(parts):
        kept = np.concatenate([part for j, part in enumerate(parts) if j != i])
        values[others] = predicted(kept, others)
    return values


def timm(path: Path) -> dict[str, Table]:
    """Recipe (timm's tag) to the networks that archsearch has, all tested at the recipe's most
    frequent size."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows_of(path):
        name, _, tag = row["model"].partition(".")
        if row["test_set"] != "val" or not tag or name not in models.MODELS or name in FLATTENED:
            continue
        if cost(models.get(name)).params <= MOST_PARAMS:
            found.setdefault(tag, {}).setdefault(row["img_size"], {})[name] = float(row["top1"])
    tables = {}
    for tag, sizes in found.items():
        top1 = max(sizes.values(), key=len)
        if len(top1) >= FEWEST_OF_A_RECIPE:
            tables[tag] = distinct([models.get(name) for name in top1], list(top1.values()))
    return dict(sorted(tables.items(), key=lambda item: -len(item[1].networks)))


# -- the scores ------------------------------------------------------------------------------------
def layers(network: Architecture) -> int:
    """Convolutions and linear layers."""
    return sum(node.op.fan_in(*node.x) is not None for node in network.trace().nodes())


def blocks_of(stage: Stage) -> int:
    """Blocks that are more than one convolution."""
    return sum(not isinstance(block, ConvNormAct) for block in stage.blocks())


def counted(networks: Sequence[Architecture]) -> dict[str, Array]:
    """Baselines, and the objectives that read the description alone."""
    deepmad = find_objective("deepmad")
    assert isinstance(deepmad, Entropy)
    costs = [cost(network) for network in networks]
    columns = {
        "params": [own.params for own in costs],
        "MACs": [own.macs for own in costs],
        "layers": [layers(network) for network in networks],
        "blocks": [sum(map(blocks_of, network.stages)) for network in networks],
        "receptive-field": [own.receptive_field for own in costs],
        "deepmad": [deepmad.value(network) for network in networks],
    }
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def measured(networks: Sequence[Architecture], size: int, workers: int) -> dict[str, Array]:
    """The scores of built networks, at an input of ``size`` where theirs is larger."""
    small = [replace(n, input=(n.input[0], *(min(size, s) for s in n.input[1:]))) for n in networks]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        values = []
        for i, row in enumerate(pool.map(scores_of, small), 1):
            values.append(row)
            print(f"\r{i} of {len(small)} networks measured", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return dict(zip(BUILT, np.array(values).T, strict=True))


def scores_of(network: Architecture) -> list[float]:
    import torch

    torch.set_num_threads(1)
    scores = [find_objective(name) for name in BUILT]
    return [score.value(network) for score in scores if isinstance(score, Score)]


# -- rank correlations -----------------------------------------------------------------------------
Statistic = Callable[[Array, Array], float]


def spearman(x: Array, y: Array) -> float:
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def kendall(x: Array, y: Array) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(x, y).statistic)


def top_half(x: Array, y: Array) -> float:
    """Kendall's tau within the better half by ``y``."""
    better = np.argsort(-y, kind="stable")[: (len(y) + 1) // 2]
    return kendall(x[better], y[better])


def interval(statistic: Callable[[Integers], float], count: int, resamples: int) -> str:
    """A statistic of networks with its bootstrap interval."""
    rng = np.random.default_rng(0)
    with np.errstate(invalid="ignore"):
        drawn = [statistic(rng.integers(count, size=count)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return f"{statistic(np.arange(count)):.3f} [{low:.2f}, {high:.2f}]"


STATISTICS: dict[str, Statistic] = {
    "Spearman": spearman,
    "Kendall": kendall,
    "Kendall, better half": top_half,
}


def print_ranks(title: str, accuracies: Array, scores: Mapping[str, Array], resamples: int) -> None:
    rows = []
    for name, values in scores.items():
        rows.append([name])
        for statistic in STATISTICS.values():
            own = partial(_drawn, statistic, values, accuracies)
            rows[-1].append(interval(own, len(accuracies), resamples))
    print_table(f"{title}: {len(accuracies):,} networks", ("score", *STATISTICS), rows)
    sys.stdout.flush()


def _drawn(statistic: Statistic, x: Array, y: Array, rows: Integers) -> float:
    return statistic(x[rows], y[rows])


def print_recipes(
    tables: Mapping[str, Table], scores: Mapping[str, Mapping[str, Array]], resamples: int
) -> None:
    """Kendall's tau within each recipe, and over the pairs of all recipes."""
    shown = [tag for tag, table in tables.items() if len(table.networks) >= 7]
    rows = []
    for name in next(iter(scores.values())):
        pairs = [(scores[tag][name], table.accuracies) for tag, table in tables.items()]
        sizes = [len(y) for _, y in pairs]
        recipe = np.repeat(np.arange(len(pairs)), sizes)
        x, y = (np.concatenate(each) for each in zip(*pairs, strict=True))
        own = [f"{kendall(scores[tag][name], tables[tag].accuracies):.2f}" for tag in shown]
        pooled = partial(within, x, y, recipe)
        rows.append([name, *own, interval(pooled, len(x), resamples)])
    header = [f"{tag} ({len(tables[tag].networks)})" for tag in shown]
    total = sum(len(table.networks) for table in tables.values())
    print_table(
        f"timm, ImageNet, within one recipe: Kendall ({total} results, {len(tables)} recipes)",
        ("score", *header, "all pairs of one recipe"),
        rows,
    )


def within(x: Array, y: Array, groups: Integers, rows: Integers) -> float:
    """Kendall's tau-b over the pairs that are of one group."""
    x, y, groups = x[rows], y[rows], groups[rows]
    first, second = np.triu_indices(len(x), 1)
    same = groups[first] == groups[second]
    first, second = first[same], second[same]
    with np.errstate(invalid="ignore"):
        signs = [np.sign(np.nan_to_num(v[first] - v[second])) for v in (x, y)]
    untied = [np.count_nonzero(own) for own in signs]
    return float((signs[0] * signs[1]).sum() / np.sqrt(untied[0] * untied[1]))


# -- the whole -------------------------------------------------------------------------------------
def sampled(table: Table, count: int) -> list[int]:
    drawn = np.random.default_rng(1).permutation(len(table.networks))[:count]
    return sorted(drawn.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the folder with the tables")
    parser.add_argument("--accel", type=int, default=50, help="sample of Accel-NASBench")
    parser.add_argument("--macro", type=int, default=100, help="sample of NAS-Bench-Macro")
    parser.add_argument("--size", type=int, default=64, help="input of measured networks")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    for title, read, file, count in (
        ("Accel-NASBench, ImageNet", accel_nasbench, "accel_nasbench_imagenet", args.accel),
        ("NAS-Bench-Macro, CIFAR-10", nas_bench_macro, "nas_bench_macro_cifar10", args.macro),
    ):
        table, predicted = read(args.data / f"{file}.csv.gz")
        scores = counted(table.networks) | {FITTED: predicted}
        print_ranks(title, table.accuracies, scores, args.resamples)
        if len(table.numbers) > 1.1 * len(table.networks):
            every = {name: values[table.numbers] for name, values in scores.items()}
            told = f"{title}, with its repeats"
            print_ranks(told, table.accuracies[table.numbers], every, args.resamples)
        rows = sampled(table, count)
        sample = table.only(rows)
        own = {name: values[rows] for name, values in scores.items()}
        own |= measured(sample.networks, args.size, args.workers)
        print_ranks(f"{title}, sample", sample.accuracies, own, args.resamples)
    tables = timm(args.data / "timm_imagenet_results.csv.gz")
    networks = list(dict.fromkeys(n for table in tables.values() for n in table.networks))
    columns = counted(networks) | measured(networks, args.size, args.workers)
    place = {network: i for i, network in enumerate(networks)}
    by_recipe = {
        tag: {name: v[[place[n] for n in table.networks]] for name, v in columns.items()}
        for tag, table in tables.items()
    }
    first = next(iter(tables))
    told = f"timm, ImageNet, recipe {first}"
    print_ranks(told, tables[first].accuracies, by_recipe[first], args.resamples)
    print_recipes(tables, by_recipe, args.resamples)
    print(f"\n{cpu_seconds() / 60:.1f} CPU minutes")


if __name__ == "__main__":
    main()
