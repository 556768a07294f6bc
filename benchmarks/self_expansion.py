"""A network that expands by itself against a planned growth and against none, at the same epochs
(``growth.py --only expansion``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from archsearch import Recipe, grow, train
from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.growth.expansion import Expansion
from archsearch.train.genealogy import read_genealogy, read_networks
from archsearch.training.job import Source

SMALL = Architecture(
    ConvNormAct(8),
    (Stage.of(ConvNormAct(8), stride=2), Stage.of(ConvNormAct(16), stride=2)),
    Classifier(10),
    (1, 28, 28),
)
"""Plain, as the networks of the publication: in a residual one a new block begins at zero, and has
next to no score."""

BUDGET = "20k-params"
FIRST_EPOCHS, EPOCHS = 5, 20
WAYS = {
    "as it is": Expansion(threshold=1e9),
    "planned": None,
    "self-expanding, 2 times, waiting 10 epochs": Expansion(),
    "self-expanding, 1.5 times, waiting 2 epochs": Expansion(1.5, 2),
}


@dataclass(frozen=True)
class Result:
    """One training: what it led to, and multiply-accumulates times epochs."""

    accuracy: float
    params: int
    growths: int
    compute: int
    seconds: float


def expansion_rows(source: Source, recipe: Recipe, seeds: Sequence[int]) -> list[list[str]]:
    """Test accuracy after the same epochs, of networks that began as the same trained one."""
    small = replace(SMALL, input=source.open().shape)
    longer = replace(recipe, epochs=EPOCHS)
    found: dict[str, list[Result]] = {name: [] for name in WAYS}
    for seed in seeds:
        with TemporaryDirectory() as place:
            words: dict[str, Any] = {"output": place}
            train(
                small,
                source,
                replace(recipe, epochs=FIRST_EPOCHS),
                seeds=[seed],
                name="small",
                **words,
            )
            for number, (name, rule) in enumerate(WAYS.items()):
                words |= {"expansion": rule, "seed": seed, "name": f"way{number}"}
                begun = time.perf_counter()
                run = grow(f"{place}/small", BUDGET, source, longer, **words)
                seconds = time.perf_counter() - begun
                found[name].append(_result(run.folder, run.accuracies[0], seconds))
        print(seed, {name: f"{own[-1].accuracy:.2%}" for name, own in found.items()}, flush=True)
    whole = mean(own.compute for own in found["planned"])
    return [
        [
            name,
            f"{mean(r.growths for r in own):.1f}",
            f"{mean(r.params for r in own):,.0f}",
            f"{mean(r.compute for r in own) / whole:.2f}",
            f"{mean(r.accuracy for r in own):.2%}",
            f"{stdev(r.accuracy for r in own) if len(own) > 1 else 0:.2%}",
            f"{mean(r.seconds for r in own):.0f}",
        ]
        for name, own in found.items()
    ]


def _result(folder: Path, accuracy: float, seconds: float) -> Result:
    record = read_genealogy(folder)
    costs = [cost(network) for network in read_networks(folder, record)]
    starts = [0, *(own["epochs"][0] for own in record["generations"])]
    shares = zip(costs, starts, [*starts[1:], EPOCHS], strict=True)
    compute = sum(own.macs * (end - start) for own, start, end in shares)
    return Result(accuracy, costs[-1].params, len(costs) - 1, compute, seconds)
