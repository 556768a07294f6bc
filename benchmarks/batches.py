"""How many candidates a second one core judges, where their goals are counted and not trained.

    python benchmarks/batches.py [--space mobile] [--count 20000]

Draws members of a space within 5M parameters and values them in one batch, three times; the best
rate counts, in processor time, what is remembered from the first time included.
"""

from __future__ import annotations

import argparse
import random
import time

from archsearch.budget import parse_budgets
from archsearch.evaluation.plan import plan
from archsearch.loading import find_space
from archsearch.members.within import SpaceMembers
from archsearch.objectives import Additive, Combination
from archsearch.space import Pick

BAR = 10_000


def depth(part: int, pick: Pick) -> float:
    return float(pick.depth)


def alike(part: int, before: Pick, pick: Pick) -> float:
    return float(before.depth == pick.depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    space = find_space(options.space)
    members = SpaceMembers(space, parse_budgets("5M-params"))
    points = members.draw(random.Random(0), options.count)
    weighed = Combination("params and macs", ("params", "macs"), lambda p, m: p / 5e6 + m / 3e8)
    goals = {
        "params, macs": ["params", "macs"],
        "a sum over picks": [Additive("sum", depth)],
        "a sum with pairs": [Additive("pairs", depth, alike)],
        "deepmad": ["deepmad"],
        "a combination of two costs": [weighed],
    }
    if space.objective == "imagenet-mobile":
        goals["imagenet-mobile"] = ["imagenet-mobile"]
    print(f"{'goals':28} {'first':>12} {'best':>12}   candidates/s (bar {BAR:,})")
    for name, objectives in goals.items():
        judged, rates = plan(objectives, space), []
        for _ in range(3):
            began = time.process_time()
            judged.values_of(members, points)
            rates.append(len(points) / (time.process_time() - began))
        print(f"{name:28} {rates[0]:12,.0f} {max(rates):12,.0f}")


if __name__ == "__main__":
    main()
