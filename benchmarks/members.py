"""Does the mathematical program pick better networks than chance, or than parameter count?

    python benchmarks/members.py --cifar10 cifar10:DIR

Trains random members of the space `tiny`, the designed network, and hand-made ones of the same
budget, all alike: a part of CIFAR-10's training pictures, a few epochs, one thread. Accuracies are
on validation pictures; the test split is not touched. Every training is a row of a ledger
(``results/tiny_cifar10.csv``, a table that ``archsearch fit`` reads, and one beside it for networks
outside the space); what is in it is not done again.

    python benchmarks/members.py --cifar10 cifar10:DIR --curves

trains the members again and keeps what they are worth after every epoch, in
``results/tiny_cifar10_curves.csv``: how many epochs tell how good a network will be.

    python benchmarks/members.py --cifar10 cifar10:DIR --again

trains each member with every seed, which tells how far one training can be trusted; they are in
``results/tiny_cifar10_members.csv``, a ledger for ``archsearch supernet report``.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import print_table

from archsearch import Budget, Recipe, design, find_objective, find_space
from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.files import write_atomically
from archsearch.handmade import HANDMADE
from archsearch.points import part_names, point_of, texts_of
from archsearch.serialization import key

if TYPE_CHECKING:
    from archsearch.data.dataset import Data
    from archsearch.training.loop import Training

SPACE = find_space("tiny")
LEDGER = Path(__file__).parent / "results" / "tiny_cifar10.csv"
CURVES = LEDGER.with_name("tiny_cifar10_curves.csv")
AGAIN = LEDGER.with_name("tiny_cifar10_members.csv")

MEMBERS = 40
"""Random members for the rank correlation, each trained once."""

LEAST, MOST, MOST_MACS = 3_000, 30_000, 1_500_000
"""Parameters of the members, and the most MACs that one core trains in half a minute."""

PARAMS, MACS = 10_000, 1_000_000
"""The budget of the designed network; hand-made ones have its parameters alone."""
RIVALS = 3
"""Random members as large as the designed network, each trained with every seed."""

SEEDS = (0, 1, 2)
PICTURES, EPOCHS = 5_000, 6
RECIPE = Recipe(
    epochs=EPOCHS, learning_rate=8e-3, warmup=0.15, label_smoothing=0.0, ema=0.99, batch_size=64
)

MEASURED = ("group", "key", "seed", "accuracy", "loss", "params", "macs", "seconds")
CHOICES = tuple(f"{part}.{path}" for part in part_names(SPACE)[:-1] for path in ("width", "depth"))

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One training: a network, what it is there for, and a seed."""

    group: str
    architecture: Architecture
    seed: int

    @property
    def name(self) -> tuple[str, str, str]:
        return self.group, key(self.architecture), str(self.seed)


# -- which networks ----------------------------------------------------------------------------
def drawn(seed: int, count: int, fits: Callable[[Architecture], bool]) -> list[Architecture]:
    """Different random members that fit, the same for the same seed."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        network = SPACE.build(SPACE.sample(rng))
        if fits(network):
            found[key(network)] = network
    return list(found.values())


def member(network: Architecture) -> bool:
    own = cost(network)
    return LEAST <= own.params <= MOST and own.macs <= MOST_MACS


def rival(network: Architecture) -> bool:
    """As large as the budget allows: no more than a twentieth is left."""
    own = cost(network)
    return 0.95 * PARAMS <= own.params <= PARAMS and own.macs <= MACS


def tasks() -> Iterator[Task]:
    for network in drawn(0, MEMBERS, member):
        yield Task("member", network, 0)
    budgets = Budget("params", PARAMS), Budget("macs", MACS)
    designed = design(budgets, SPACE, "deepmad").best.architecture
    named = {"designed": designed}
    room = [Budget("params", PARAMS)]
    named |= {name: make(room, (3, 32, 32), 10) for name, make in HANDMADE.items()}
    named |= {f"random {i + 1}": a for i, a in enumerate(drawn(1, RIVALS, rival))}
    for seed in SEEDS:
        for name, network in named.items():
            yield Task(name, network, seed)


# -- training ----------------------------------------------------------------------------------
def begun(task: Task, source: str) -> tuple[Training, Data]:
    """A training that is not judged on its way, which would take a fifth of the time; its data."""
    import torch

    from archsearch.nets.build import build
    from archsearch.training.job import Source
    from archsearch.training.loop import Training

    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    data = Source(source, validation=0.1, limit=PICTURES).open()
    unwatched = replace(data, validation=data.validation.select(np.arange(0)))
    return Training(build(task.architecture), unwatched, RECIPE, task.seed), data


def curve(task: Task, source: str) -> list[Row]:
    """What a network is worth after every epoch."""
    from archsearch.training.feed import Feed
    from archsearch.training.metrics import judge

    training, data = begun(task, source)
    validation, rows = Feed(data.validation, training.place.device), []

    def look(epoch: Mapping[str, Any]) -> None:
        accuracy = judge(*training.predict(validation), data.classes).accuracy
        own = {"epoch": epoch["epoch"], "accuracy": round(100 * accuracy, 2)}
        rows.append({"key": key(task.architecture), **own})

    training.run(look)
    return rows


def trained(task: Task, source: str) -> Row:
    """One row of the ledger."""
    from archsearch.training.feed import Feed
    from archsearch.training.metrics import judge

    training, data = begun(task, source)
    start = time.process_time()
    training.run()
    answers = training.predict(Feed(data.validation, training.place.device))
    judged, own = judge(*answers, data.classes), cost(task.architecture)
    return {
        "group": task.group,
        "key": key(task.architecture),
        "seed": task.seed,
        "accuracy": round(100 * judged.accuracy, 2),
        "loss": judged.loss and round(judged.loss, 4),
        "params": own.params,
        "macs": own.macs,
        "seconds": round(time.process_time() - start, 1),
        **_choices(task.architecture),
    }


def _choices(network: Architecture) -> dict[str, str]:
    from archsearch.errors import UserError

    try:
        point = point_of(SPACE, network)
    except UserError:
        return {}
    return {
        f"{part}.{path}": text
        for part, pick in zip(part_names(SPACE), point, strict=True)
        for path, text in texts_of(pick).items()
        if f"{part}.{path}" in CHOICES
    }


def by_hand(ledger: Path) -> Path:
    """The ledger of networks outside the space."""
    return ledger.with_name(f"{ledger.stem}_by_hand.csv")


def read_ledger(ledger: Path) -> list[Row]:
    return [*_read(ledger), *_read(by_hand(ledger))]


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_ledger(ledger: Path, rows: Sequence[Row]) -> None:
    _write(ledger, (*MEASURED, *CHOICES), [row for row in rows if CHOICES[0] in row])
    _write(by_hand(ledger), MEASURED, [row for row in rows if CHOICES[0] not in row])


def _write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def write_curves(source: str) -> None:
    """Train the members that have no curve yet, and say how each epoch ranks them."""
    from scipy.stats import kendalltau

    rows = _read(CURVES)
    done = {row["key"] for row in rows}
    for network in drawn(0, MEMBERS, member):
        if key(network) not in done:
            rows += curve(Task("member", network, 0), source)
            _write(CURVES, ("key", "epoch", "accuracy"), rows)
    again = {(row["key"], row["seed"]): float(row["accuracy"]) for row in _read(AGAIN)}
    names = list(dict.fromkeys(row["key"] for row in rows))
    own = np.array([again[name, "0"] for name in names])
    others = np.mean([[again[name, str(seed)] for name in names] for seed in SEEDS[1:]], axis=0)
    table = []
    for epoch in range(1, EPOCHS + 1):
        now = {row["key"]: float(row["accuracy"]) for row in rows if int(row["epoch"]) == epoch}
        values = np.array([now[name] for name in names])
        taus = [
            kendalltau(values[chosen], truth[chosen]).statistic
            for truth in (others, own)
            for chosen in (slice(None), truth >= np.median(truth))
        ]
        table.append([str(epoch), *(f"{tau:.2f}" for tau in taus)])
    print_table(
        f"What {MEMBERS} members are worth early on, against their ends ({EPOCHS} epochs)",
        ["epochs", "other seeds", "better half", "the same training", "better half"],
        table,
    )


def write_again(source: str) -> None:
    """Train the members with every seed with which they were not yet, and say how one training of
    each ranks them as another does, and as the mean of the others does."""
    from scipy.stats import kendalltau

    networks = drawn(0, MEMBERS, member)
    rows = _read(AGAIN) or [row for row in _read(LEDGER) if row["group"] == "member"]
    done = {(row["key"], row["seed"]) for row in rows}
    for seed in SEEDS:
        for network in networks:
            if (key(network), str(seed)) not in done:
                rows.append(trained(Task("member", network, seed), source))
                _write(AGAIN, (*MEASURED, *CHOICES), rows)
    found = {(row["key"], int(row["seed"])): float(row["accuracy"]) for row in rows}
    values = np.array([[found[key(n), seed] for n in networks] for seed in SEEDS])
    table = []
    for i, own in enumerate(values):
        others = np.delete(values, i, axis=0)
        taus = [
            [
                kendalltau(own[chosen], truth[chosen]).statistic
                for truth in (*others, others.mean(0))
            ]
            for chosen in (slice(None), own >= np.median(own))
        ]
        table.append([str(SEEDS[i]), *(f"{np.mean(t[:-1]):.2f}" for t in taus),
                      *(f"{t[-1]:.2f}" for t in taus)])  # fmt: skip
    print_table(
        f"What one training of {MEMBERS} members tells of others of the same",
        ["seed", "Kendall", "better half", "with the others' mean", "better half"],
        table,
    )


# -- what came of it ---------------------------------------------------------------------------
def rank_table(rows: Sequence[Row], networks: Mapping[str, Architecture]) -> list[list[str]]:
    """How objectives rank the members: Kendall, Spearman, Kendall in the better half."""
    from scipy.stats import kendalltau, spearmanr

    truth = np.array([float(row["accuracy"]) for row in rows])
    better = truth >= np.median(truth)
    table = []
    for name, values in objective_values([networks[row["key"]] for row in rows]):
        low, high = _interval(values, truth)
        table.append(
            [
                name,
                f"{kendalltau(values, truth).statistic:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{spearmanr(values, truth).statistic:.2f}",
                f"{kendalltau(values[better], truth[better]).statistic:.2f}",
            ]
        )
    return table


def objective_values(networks: Sequence[Architecture]) -> Iterator[tuple[str, Any]]:
    entropy = find_objective("deepmad")
    yield "parameters", np.array([cost(n).params for n in networks])
    yield "MACs", np.array([cost(n).macs for n in networks])
    yield "layers", np.array([entropy_layers(n) for n in networks])
    yield "entropy (deepmad)", np.array([entropy.value(n) for n in networks])
    for name in ("zen", "naswot", "synflow", "snip", "grad-norm", "zico", "receptive-field"):
        score = find_objective(name)
        yield name, np.array([score.value(n, 0) for n in networks])


def entropy_layers(network: Architecture) -> int:
    from archsearch.objectives import level_ends

    return level_ends(network.trace())[-1].layers


def _interval(values: Any, truth: Any, draws: int = 1000) -> tuple[float, float]:
    """95 % of Kendall's tau over members drawn with replacement."""
    from scipy.stats import kendalltau

    rng, n = np.random.default_rng(0), len(truth)
    found = [
        kendalltau(values[chosen], truth[chosen]).statistic
        for chosen in (rng.integers(0, n, n) for _ in range(draws))
    ]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def side_by_side(rows: Sequence[Row]) -> list[list[str]]:
    """Networks of one budget, mean and deviation over the seeds, the best first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["group"] != "member":
            groups.setdefault(row["group"], []).append(row)
    found = []
    for name, own in groups.items():
        accuracies = [float(row["accuracy"]) for row in own]
        deviation = np.std(accuracies, ddof=1) if len(own) > 1 else 0.0
        seconds = float(np.mean([float(row["seconds"]) for row in own]))
        found.append((float(np.mean(accuracies)), name, deviation, own[0], seconds))
    return [
        [
            name,
            f"{int(row['params']):,}",
            f"{int(row['macs']):,}",
            f"{mean:.2f} +- {deviation:.2f}",
            f"{seconds:.0f}",
        ]
        for mean, name, deviation, row, seconds in sorted(found, key=lambda f: -f[0])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", default="cifar10:data/cifar10", help="as for archsearch train")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    parser.add_argument("--only-tables", action="store_true", help="train nothing")
    parser.add_argument("--again", action="store_true", help="train members with every seed")
    parser.add_argument("--curves", action="store_true", help="what members are worth early on")
    args = parser.parse_args()
    if args.again:
        write_again(args.cifar10)
        return
    if args.curves:
        write_curves(args.cifar10)
        return
    args.ledger.parent.mkdir(parents=True, exist_ok=True)
    todo = list(tasks())
    networks = {key(task.architecture): task.architecture for task in todo}
    rows = read_ledger(args.ledger)
    done = {(row["group"], row["key"], str(row["seed"])) for row in rows}
    for task in todo:
        if task.name not in done and not args.only_tables:
            rows.append(trained(task, args.cifar10))
            write_ledger(args.ledger, rows)
            print(f"{len(rows)}/{len(todo)} {task.name} {rows[-1]['accuracy']}", flush=True)
    settings = f"{PICTURES:,} pictures of CIFAR-10, {EPOCHS} epochs"
    members = [row for row in rows if row["group"] == "member"]
    print_table(
        f"{len(members)} random members of `tiny`, {settings}, one seed",
        ["ranks by", "Kendall", "95 %", "Spearman", "Kendall, better half"],
        rank_table(members, networks),
    )
    print_table(
        f"At most {PARAMS:,} parameters, {settings}, {len(SEEDS)} seeds",
        ["network", "params", "MACs", "accuracy, %", "CPU s"],
        side_by_side(rows),
    )


if __name__ == "__main__":
    main()
