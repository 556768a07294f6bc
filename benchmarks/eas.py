"""Does EAS's controller pay? Against the same moves drawn at random, at equal evaluations.

    python benchmarks/eas.py [--seeds 5] [--most 300]

The space is mobile and the truth the shipped objective imagenet-mobile (accuracy in percent of what
such networks reach on ImageNet), so that an evaluation costs nothing. Both searches begin at the
same small member, make the same moves and know the same history; the one without a controller draws
every transformation with the same probability. Regularised evolution and random search are told
beside them. Mean over seeds of the best so far.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from measure import print_table
from queries import BUDGET, mobile_members, mobile_truth, run

from archsearch.strategies import Strategy
from archsearch.strategies.eas import EAS
from archsearch.strategies.evolution import Evolution
from archsearch.strategies.random import RandomSearch
from archsearch.trials import Goal

POINTS = (25, 50, 100, 150, 200, 300, 500, 1000)
"""Evaluations after which the best so far is told."""

COMPARED: Mapping[str, Callable[[int], Strategy]] = {
    "EAS, controller": lambda seed: EAS(seed),
    "EAS, random transformations": lambda seed: EAS(seed, controller=False),
    "evolution": lambda seed: Evolution(seed=seed),
    "random": lambda seed: RandomSearch(seed=seed),
}


def bests(strategy: Strategy, most: int) -> npt.NDArray[np.float64]:
    """The best value so far after every evaluation of a search."""
    objective, _ = mobile_truth()
    found = run(
        strategy,
        mobile_members(),
        lambda point: (objective.predict(point),),
        (Goal("accuracy"),),
        most,
    )
    return np.maximum.accumulate([trial.values[0] for trial in found.trials])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=300, help="evaluations of a search")
    options = parser.parse_args(arguments)
    points = [point for point in POINTS if point < options.most] + [options.most]
    rows, curves = [], {}
    for name, make in COMPARED.items():
        start = time.process_time()
        own = np.array([bests(make(seed), options.most) for seed in range(options.seeds)])
        each = (time.process_time() - start) / own.size
        curves[name] = own
        means = [f"{own[:, point - 1].mean():.2f}" for point in points]
        rows.append([name, *means, f"{own[:, -1].std():.2f}", f"{1000 * each:.0f}"])
        print("|", " | ".join(rows[-1]), "|", file=sys.stderr, flush=True)
    header = ("", *(f"after {point}" for point in points), "sd at the end", "CPU ms a candidate")
    title = f"Best accuracy so far, mean of {options.seeds} seeds; mobile, {BUDGET}"
    print_table(f"{title}; best of all {mobile_truth()[1]:.2f}", header, rows)
    learnt, drawn = (curves[name] for name in list(COMPARED)[:2])
    gain = learnt.mean(axis=1) - drawn.mean(axis=1)
    noise = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    sure = abs(gain.mean()) > 2 * noise  # of one seed nothing is
    verdict = ("better" if gain.mean() > 0 else "worse") if sure else "not shown to be better"
    print(
        f"The controller is {verdict}: the best so far, averaged over all evaluations, is"
        f" {gain.mean():+.3f} points (standard error {noise:.3f}; by seed"
        f" {', '.join(f'{each:+.2f}' for each in gain)})."
    )


if __name__ == "__main__":
    main()
