"""A supernet beside the networks that it stands for: seconds, memory, ranking, what is found.

    python benchmarks/supernet.py [--only steps,asking,memory,scoring,ranking,found] [--data digits]

Steps: a member as a view of the supernet takes turns with the same network by itself, each in the
package's own loop with the same batch and recipe, the latter with torch's fused AdamW; CPU seconds
(on a GPU: wall seconds), so that what else the machine does hits both alike. Every pair is another
member, drawn at random within the budgets. The process keeps what memory it has freed: else which
of the two pays for getting it back from the system is chance, and decides the comparison.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import MEBIBYTE, cpu_seconds, print_table
from members import RECIPE as MEMBER
from torch import nn

from archsearch import Machines, find_space, read_supernet, search, train_supernet
from archsearch.architecture import Architecture
from archsearch.budget import parse_budgets
from archsearch.cost import cost
from archsearch.data.dataset import Arrays, Data, Split
from archsearch.members.within import SpaceMembers
from archsearch.nets.build import build
from archsearch.report.supernet_text import summary_lines
from archsearch.search.ranking import rank_supernet
from archsearch.serialization import key
from archsearch.space import Point
from archsearch.supernet.layout import Layout
from archsearch.supernet.rules import DEFAULT, Step
from archsearch.supernet.score import Scorer
from archsearch.supernet.training import SupernetTraining
from archsearch.supernet.weights import Supernet
from archsearch.training.devices import Place
from archsearch.training.feed import Feed
from archsearch.training.job import Source
from archsearch.training.loop import Training
from archsearch.training.metrics import judge
from archsearch.training.recipe import Recipe

CLASSES = 10
HERE = Machines(workers=1, ray=False)


@dataclass(frozen=True)
class Case:
    """A space set to some pictures, and the budgets of its members."""

    name: str
    input: tuple[int, int, int]
    budgets: Sequence[str] = ()

    @property
    def title(self) -> str:
        within = f", {', '.join(self.budgets)}" if self.budgets else ""
        return f"`{self.name}`, {'x'.join(map(str, self.input))}{within}"

    def members(self) -> SpaceMembers:
        space = find_space(self.name).with_input(self.input).with_classes(CLASSES)
        return SpaceMembers(space, parse_budgets(self.budgets))


CASES = (
    Case("tiny", (1, 28, 28)),
    Case("tiny", (3, 32, 32), ("20k-params",)),
    Case("small", (1, 28, 28), ("20k-params",)),
    Case("mobile", (1, 28, 28)),
)


# -- steps -----------------------------------------------------------------------------------------
class EndOfSteps(Exception):
    """Ends a training after some steps; the next call goes on from there."""


def keep_memory() -> None:
    """Let the C library (glibc) keep freed memory instead of giving it back to the system."""
    if sys.platform == "linux":
        trim_threshold, mmap_max = -1, -4
        library = ctypes.CDLL(None)
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)


def clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def steps(training: Training, count: int, before: Callable[[], None] = lambda: None) -> list[float]:
    """Seconds of steps in the middle of an epoch: one goes before them, after which ``before`` is
    called, so that what is done once an epoch is not in them."""
    ends: list[float] = []

    def look(training: Training) -> None:
        if not ends:
            before()
        ends.append(clock(training.place.device))
        if len(ends) > count:
            raise EndOfSteps

    try:
        training.run(on_step=look)
    except EndOfSteps:
        return [float(seconds) for seconds in np.diff(ends)]
    raise RuntimeError(f"training ended: {training.state} {training.reason}")


def noise(shape: tuple[int, int, int], count: int) -> Data:
    """Random pictures: how long a step takes does not depend on what they show."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    split = Split(Arrays(pixels), rng.integers(0, CLASSES, count))
    nothing = split.select(np.arange(0))
    statistics = (0.5,) * shape[0], (0.25,) * shape[0]
    names = tuple(map(str, range(CLASSES)))
    return Data("noise", split, nothing, nothing, names, *statistics, mirrored=False)


class Asked:
    """A rule for measuring: the member that was asked for learns from the whole batch."""

    point: Point

    def __call__(self, step: Step) -> None:
        step.learn(self.point)


@dataclass
class Pair:
    """CPU seconds of steps of one member: when the supernet is asked for it first, when again, and
    by itself."""

    architecture: Architecture
    first: float
    again: list[float]
    alone: list[float]

    @property
    def ratio(self) -> float:
        return median(self.again) / median(self.alone)


def pairs(case: Case, recipe: Recipe, count: int, turns: int, place: Place) -> Iterator[Pair]:
    """Members in turns, two steps at a time; an epoch holds all of them."""
    members, rule = case.members(), Asked()
    data = noise(case.input, recipe.batch_size * (count * (3 * turns + 2) + 2))
    recipe = replace(recipe, epochs=1)
    supernet = Supernet(Layout(members.space))
    shared = SupernetTraining(supernet, data, recipe, 0, place, members=members, rule=rule)
    rule.point = shared.largest
    for point in members.draw(random.Random(0), count):
        architecture = members.space.build(point)
        (first,) = steps(shared, 1, partial(setattr, rule, "point", point))
        found = Pair(architecture, first, [], [])
        alone = Training(build(architecture), data, recipe, 0, place)
        steps(alone, 1)
        for _ in range(turns):
            found.again += steps(shared, 2)
            found.alone += steps(alone, 2)
        yield found


def step_rows(
    cases: Sequence[Case], recipe: Recipe, count: int, turns: int, place: Place
) -> Iterator[list[str]]:
    for case in cases:
        found = list(pairs(case, recipe, count, turns, place))
        ratios = sorted(pair.ratio for pair in found)
        alone = sum(median(pair.alone) for pair in found)
        again = sum(median(pair.again) for pair in found)
        least = sum(min(pair.again) for pair in found) / sum(min(pair.alone) for pair in found)
        first = sum(pair.first for pair in found)
        sizes = [cost(pair.architecture).params for pair in found]
        yield [
            case.title,
            f"{min(sizes):,} to {max(sizes):,}",
            f"{1e3 * alone / count:.1f}",
            f"{1e3 * again / count:.1f}",
            f"{again / alone:.3f}x",
            f"{ratios[0]:.2f}x to {ratios[-1]:.2f}x",
            f"{least:.3f}x",
            f"{first / alone:.2f}x",
        ]
        gc.collect()


# -- asking ----------------------------------------------------------------------------------------
def asking_rows(cases: Sequence[Case], draws: int) -> Iterator[list[str]]:
    """What the modules of drawn members cost, early in a training and later."""
    for case in cases:
        members = case.members()
        supernet = Supernet(Layout(members.space))
        seconds = []
        for point in members.draw(random.Random(0), draws):
            architecture = members.space.build(point)
            start = time.process_time()
            supernet.subnet(architecture)
            seconds.append(time.process_time() - start)
        again = []
        for _ in range(20):
            start = time.process_time()
            supernet.subnet(architecture)
            again.append(time.process_time() - start)
        tenth = max(1, draws // 10)
        yield [
            case.title,
            f"{1e3 * np.mean(seconds[:tenth]):.1f}",
            f"{1e3 * np.mean(seconds[-tenth:]):.1f}",
            f"{1e3 * median(again):.2f}",
            f"{sum(seconds):.1f}",
        ]


# -- memory ----------------------------------------------------------------------------------------
def held(training: Training) -> int:
    """Bytes of weights and of what the optimiser remembers."""
    own = [*training.net.state_dict().values()]
    for state in training.optimiser.state.values():
        own += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in own)


def memory_rows(cases: Sequence[Case], recipe: Recipe, place: Place) -> Iterator[list[str]]:
    for case in cases:
        members, rule = case.members(), Asked()
        data = noise(case.input, recipe.batch_size)
        supernet = Supernet(Layout(members.space))
        shared = SupernetTraining(supernet, data, recipe, 0, place, members=members, rule=rule)
        largest = _most_params(members, shared)
        rule.point = largest
        alone = Training(build(members.space.build(largest)), data, recipe, 0, place)
        for training in (shared, alone):
            steps(training, 1)
        ours, theirs = held(shared), held(alone)
        yield [
            case.title,
            f"{sum(p.numel() for p in supernet.parameters()):,}",
            f"{sum(p.numel() for p in alone.net.parameters()):,}",
            f"{ours / MEBIBYTE:.1f}",
            f"{theirs / MEBIBYTE:.1f}",
            f"{ours / theirs:.2f}x",
        ]
        del supernet, shared, alone
        gc.collect()


def _most_params(members: SpaceMembers, training: SupernetTraining) -> Point:
    """Of the member with most MACs and the best of many draws, the one with more parameters."""
    found = [training.largest, *members.draw(random.Random(0), 1_000)]
    return found[int(np.argmax(members.costs(found)["params"]))]


# -- scoring ---------------------------------------------------------------------------------------
def scoring_rows(
    cases: Sequence[Case], source: Source, recipe: Recipe, count: int, place: Place
) -> Iterator[list[str]]:
    """Seconds to score members (recalibration and validation), and to train them by themselves."""
    data = source.open()
    for case in cases:
        members = replace(case, input=data.shape).members()
        scorer = Scorer(Supernet(Layout(members.space)), data, device=place.device)
        own = [members.space.build(p) for p in members.draw(random.Random(1), count)]
        scorer.scores(own[:1])  # prepares the pictures
        start = clock(place.device)
        scorer.scores(own)
        scoring = (clock(place.device) - start) / count
        training = 0.0
        unwatched = replace(data, validation=data.validation.select(np.arange(0)))
        for architecture in own:
            alone = Training(build(architecture), unwatched, recipe, 0, place)
            training += median(steps(alone, 4)) * alone.steps / count
        yield [
            replace(case, input=data.shape).title,
            f"{scoring:.2f}",
            f"{training:.1f}",
            f"{training / scoring:.0f}x",
        ]


# -- ranking ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Compared:
    """What ranking and search are measured on: how the supernet is trained, and how members are."""

    space: str
    budgets: Sequence[str]
    source: Source
    rule: str
    supernet_recipe: Recipe
    recipe: Recipe
    output: Path

    def supernet(self, seed: int) -> Path:
        """The folder of a supernet trained now."""
        trained = train_supernet(
            self.space, self.source, self.supernet_recipe, rule=self.rule, budgets=self.budgets,
            seed=seed, output=self.output, name=f"supernet-{seed}",
        )  # fmt: skip
        return trained.folder

    def trained(self, net: nn.Module, data: Data, seed: int) -> tuple[float, Training]:
        """The accuracy, of 1, on the validation pictures after a training of a member from the
        weights that it has, in which it is not judged on its way."""
        unwatched = replace(data, validation=data.validation.select(np.arange(0)))
        training = Training(net, unwatched, self.recipe, seed)
        training.run()
        return _accuracy(training, data, data.validation), training


def ranking_lines(compared: Compared, ledgers: Sequence[str], members: int) -> list[str]:
    """What ``archsearch supernet report`` says of a supernet trained now."""
    given: dict[str, Any] = {"ledgers": ledgers} if ledgers else {
        "members": members, "epochs": compared.recipe.epochs, "machines": HERE
    }  # fmt: skip
    ranking = rank_supernet(compared.supernet(0), **given).ranking
    return [] if ranking is None else list(summary_lines(ranking))


# -- what is found ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Found:
    """What one way of searching found: the accuracy, of 1, on test pictures that chose nothing."""

    seconds: float
    params: int
    accuracy: float
    trained: int

    def __str__(self) -> str:
        return f"{self.seconds:.0f} | {100 * self.accuracy:.2f} | {self.params:,}"


def by_supernet(compared: Compared, seed: int, trials: int, tuned: int) -> Found:
    """Of the members with the best inherited accuracy, each trained further, the one that is then
    best on the validation pictures."""
    start = cpu_seconds()
    supernet = read_supernet(compared.supernet(seed))
    searched = search(
        supernet=supernet.folder, budgets=compared.budgets, trials=trials, strategy="evolution",
        machines=HERE, seed=seed, output=compared.output, name=f"found-{seed}",
    )  # fmt: skip
    data = supernet.source.open()
    scorer = Scorer(supernet.supernet, data)
    best: dict[str, tuple[float, Architecture]] = {}
    for trial in searched.trials:
        architecture = searched.members.space.build(trial.point)
        best[key(architecture)] = trial.values[0], architecture
    chosen = [own for _, own in sorted(best.values(), key=lambda own: -own[0])[:tuned]]
    ends = [compared.trained(scorer.network(own), data, seed) for own in chosen]
    spent = cpu_seconds() - start
    return _found(ends, data, spent)


def by_chance(compared: Compared, seed: int, seconds: float) -> Found:
    """Of random members, each trained from fresh weights, the one best on the validation pictures;
    as many as come closest to so many CPU seconds, and at least one."""
    data = compared.source.open()
    members = Case(compared.space, data.shape, compared.budgets).members()
    start, rng, spent = cpu_seconds(), random.Random(seed), 0.0
    ends: list[tuple[float, Training]] = []
    while not ends or spent * (1 + 0.5 / len(ends)) < seconds:
        (point,) = members.draw(rng, 1)
        torch.manual_seed(seed + len(ends))
        net = build(members.space.build(point))
        ends.append(compared.trained(net, data, seed + len(ends)))
        spent = cpu_seconds() - start
    return _found(ends, data, spent)


def _found(ends: Sequence[tuple[float, Training]], data: Data, seconds: float) -> Found:
    _, best = max(ends, key=lambda end: end[0])
    params = sum(parameter.numel() for parameter in best.net.parameters())
    return Found(seconds, params, _accuracy(best, data, data.test), len(ends))


def _accuracy(training: Training, data: Data, split: Split) -> float:
    """Of 1, on the pictures of a split."""
    answers = training.predict(Feed(split, training.place.device))
    return float(judge(*answers, data.classes).accuracy)


def print_found(compared: Compared, seeds: int, trials: int, tuned: int) -> None:
    """A row for every seed as soon as it is there, and at last the mean."""
    title = f"`{compared.space}`, {', '.join(compared.budgets)}, {compared.source.text}"
    print(f"\nFound in {title}: the supernet against random search of equal CPU seconds\n")
    print("| seed | CPU s | test accuracy, % | parameters | CPU s | test accuracy, % |"
          " parameters | trained | better by |")  # fmt: skip
    print("|---|" + 8 * "---:|", flush=True)
    better = []
    for seed in range(seeds):
        ours = by_supernet(compared, seed, trials, tuned)
        theirs = by_chance(compared, seed, ours.seconds)
        better.append(100 * (ours.accuracy - theirs.accuracy))
        both = " | ".join(
            f"{own.seconds:.0f} | {100 * own.accuracy:.2f} | {own.params:,}"
            for own in (ours, theirs)
        )
        print(f"| {seed} | {both} | {theirs.trained} | {better[-1]:+.2f} |", flush=True)
    print(f"\nMean of {seeds} seeds: better by {np.mean(better):+.2f} percent points", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="steps,asking,memory,scoring", help="some of these")
    parser.add_argument("--spaces", default="tiny,small,mobile")
    parser.add_argument("--data", default="digits", help="as for archsearch train; for scoring")
    parser.add_argument("--members", type=int, default=8, help="for steps and scoring")
    parser.add_argument(
        "--turns", type=int, default=5, help="of two steps of each member, each way"
    )
    parser.add_argument("--draws", type=int, default=1_000, help="members to ask for")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6, help="of a member's training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rule", default=DEFAULT)
    parser.add_argument("--space", default="tiny", help="for ranking and found")
    parser.add_argument(
        "--budget", action="append", default=[], help="of that space; then scoring too"
    )
    parser.add_argument("--limit-train", type=int, help="training pictures that are used")
    parser.add_argument("--supernet-epochs", type=int, default=12)
    parser.add_argument("--ranked", type=int, default=40, help="members trained for the ranking")
    parser.add_argument("--ledger", action="append", default=[], help="or a table that has them")
    parser.add_argument("--trials", type=int, default=200, help="of the search that finds")
    parser.add_argument("--tuned", type=int, default=3, help="of its members, trained further")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    place = Place(torch.device(args.device))
    recipe = Recipe(batch_size=args.batch_size, ema=0.0)
    cases = [case for case in CASES if case.name in args.spaces.split(",")]
    asked = args.only.split(",")
    if "steps" in asked:
        print_table(
            f"{2 * args.turns} steps of {args.members} members, batches of {args.batch_size}",
            ["space", "parameters", "alone, ms", "in the supernet, ms", "ratio", "of members",
             "ratio of minima", "ratio, blocks not seen before"],
            list(step_rows(cases, recipe, args.members, args.turns, place)),
        )  # fmt: skip
    if "asking" in asked:
        print_table(
            f"Asking for {args.draws} members drawn at random, CPU ms",
            ["space", "first tenth", "last tenth", "one that is there", "all, s"],
            list(asking_rows(cases, args.draws)),
        )
    if "memory" in asked:
        print_table(
            "Weights and what AdamW remembers of them",
            ["space", "shared", "largest member", "supernet, MiB", "member, MiB", "ratio"],
            list(memory_rows(cases, recipe, place)),
        )
    source = Source(args.data, limit=args.limit_train)
    if "scoring" in asked:
        own = [Case(args.space, (0, 0, 0), args.budget)] if args.budget else cases
        print_table(
            f"CPU seconds for a member, {args.data}: scored, and trained for {args.epochs} epochs",
            ["space", "scored", "trained", "ratio"],
            list(
                scoring_rows(own, source, replace(recipe, epochs=args.epochs), args.members, place)
            ),
        )
    if not {"ranking", "found"} & set(asked):
        return
    with TemporaryDirectory() as output:
        compared = Compared(
            args.space, args.budget, source, args.rule,
            replace(MEMBER, epochs=args.supernet_epochs, ema=0.0),
            replace(MEMBER, epochs=args.epochs), Path(output),
        )  # fmt: skip
        if "ranking" in asked:
            print("", *ranking_lines(compared, args.ledger, args.ranked), sep="\n")
        if "found" in asked:
            print_found(compared, args.seeds, args.trials, args.tuned)


if __name__ == "__main__":
    main()
