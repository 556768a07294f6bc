"""Tiny networks on real pictures: how good are designs of a few thousand parameters?

    python benchmarks/tiny.py --mnist mnist:DIR --cifar10 cifar10:DIR

Designs a network for each budget, trains it with three seeds and judges it on the test pictures,
which nothing has seen before. What is finished is kept under ``--output`` and not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from measure import print_table

from archsearch import Recipe, design, resume, train
from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.train import Trained

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """One budget on one data set. ``published`` is what is to be beaten."""

    name: str
    data: str
    budget: str
    input: tuple[int, ...]
    epochs: int
    published: str = ""
    smoothing: float = 0.05
    seeds: tuple[int, ...] = field(default=SEEDS)

    @property
    def recipe(self) -> Recipe:
        """One recipe for all: networks this small neither overfit nor need much decay."""
        return Recipe(
            epochs=self.epochs,
            learning_rate=8e-3,
            warmup=0.15,
            label_smoothing=self.smoothing,
            ema=0.998,
        )

    def architecture(self) -> Architecture:
        found = design(self.budget, "tiny", "deepmad", input=self.input, classes=10)
        return found.best.architecture


DIGIT, PHOTOGRAPH = (1, 28, 28), (3, 32, 32)
CASES = (
    Case("mnist-15k", "mnist", "14862-params", DIGIT, 10, "99 % with 14,862 parameters"),
    Case("cifar10-20k", "cifar10", "20k-params", PHOTOGRAPH, 15, "65 % below 20,000", 0.0),
    Case("mnist-3k", "mnist", "3k-params", DIGIT, 15, "99 %, the aim: 3,000"),
    Case("mnist-4k", "mnist", "4k-params", DIGIT, 15, "99 %"),
    Case("mnist-6k", "mnist", "6k-params", DIGIT, 15, "99 %"),
)


def run(case: Case, source: str, output: Path) -> Trained:
    """The finished run of a case, trained as far as it is not yet."""
    folder = output / case.name
    if folder.exists():
        return resume(folder, on_epoch=_say)
    return train(
        case.architecture(), source, case.recipe, seeds=case.seeds, device="cpu",
        output=output, name=case.name, on_epoch=_say,
    )  # fmt: skip


def _say(seed: int, row: dict[str, float], epochs: int, left: float) -> None:
    accuracy = row.get("validation_accuracy", 0.0)
    print(f"seed {seed} epoch {row['epoch']}/{epochs} {accuracy:.2%} {left:.0f} s left", flush=True)


def rows(case: Case, done: Trained) -> Iterator[list[str]]:
    from archsearch.loading import find_architecture
    from archsearch.training.metrics import summarise

    spent = cost(find_architecture(str(done.folder)))
    found = summarise([100 * accuracy for accuracy in done.accuracies])
    deviation = f" +- {found.deviation:.2f}" if found.deviation is not None else ""
    yield [
        case.name,
        case.published,
        f"{spent.params:,}",
        f"{spent.macs:,}",
        f"{found.mean:.2f}{deviation}",
        ", ".join(f"{100 * accuracy:.2f}" for accuracy in done.accuracies),
        str(case.epochs),
        f"{sum(own.seconds for own in done.outcomes) / len(done.outcomes) / 60:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", default="mnist:data/mnist", help="as for archsearch train")
    parser.add_argument("--cifar10", default="cifar10:data/cifar10", help="likewise")
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--output", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    table, start = [], time.process_time()
    for case in CASES:
        if args.only is None or case.name in args.only:
            done = run(case, getattr(args, case.data), args.output)
            table += rows(case, done)
    header = ["budget", "published", "params", "MACs", "test accuracy, %", "seeds", "epochs", "min"]
    print_table("Designed by the entropy in `tiny`; three seeds", header, table)
    print(f"{(time.process_time() - start) / 60:.1f} CPU minutes")


if __name__ == "__main__":
    main()
