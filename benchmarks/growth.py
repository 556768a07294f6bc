"""Growing a trained network: is the function kept, how fast is it, and what does it save?

    python benchmarks/growth.py [--only exact,resnet50]
    python benchmarks/growth.py --only exact --chains 10000
    python benchmarks/growth.py --only expansion --data npz:FILE --limit 1000
    python benchmarks/growth.py --only scratch --data mnist:DIR,cifar10:DIR --limit 5000

Exact: chains of 1 to 50 drawn transformations of small networks of every family, from weights that
hide nothing; the largest relative difference of logits, in double and single precision, in
evaluation mode and, where every step claims it, with batch statistics. Every step is one that
``plan`` allows: a difference would be a silent approximation. Single precision is judged by the
same weights, cast.

Expansion: a small network trained on with growths that are planned, that are decided on the way by
the natural expansion score, and without (``self_expansion``).

Scratch: a network trained from scratch against a smaller one that is trained, grown into it and
trained on, at equal and at half the compute (multiply-accumulates times pictures, those of the
small network among them). It grows late, in one training: learning rate, optimiser and the mean of
the weights run through, as in ``archsearch grow`` and in a stopped training that is transformed
and resumed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import resource
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from measure import print_table
from self_expansion import EPOCHS, expansion_rows
from torch import Tensor, nn

from archsearch import Recipe
from archsearch.architecture import Architecture, Stage
from archsearch.block import Block
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convfirst import ConvFirstBlock
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block
from archsearch.blocks.dense import DenseLayer
from archsearch.blocks.depthwise_separable import DepthwiseSeparable
from archsearch.blocks.fused_inverted_residual import FusedInvertedResidual
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.inverted_residual_mobile import InvertedResidualMobile
from archsearch.blocks.metaformer import MetaFormerBlock
from archsearch.blocks.plain import ConvNormAct
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.reparameterised import Reparameterised
from archsearch.cost import cost
from archsearch.data.dataset import Data
from archsearch.growth.carry import grown_state
from archsearch.growth.edits import parse_step, planned, random_step
from archsearch.growth.plan import plan
from archsearch.models import get
from archsearch.nets.build import build
from archsearch.operators.convolution import Convolution
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.training.devices import Place
from archsearch.training.feed import Feed
from archsearch.training.grown import grown_tensors
from archsearch.training.job import Source
from archsearch.training.loop import Training
from archsearch.training.metrics import judge

CLASSES = 10
MODES = ("evaluation", "training")
MOST_PARAMS = 100_000
"""A chain ends before its network is larger: what is proved does not depend on size."""


# -- chains ------------------------------------------------------------------------------------
def network(*stages: Stage) -> Architecture:
    return Architecture(ConvNormAct(8, 2), stages, Classifier(CLASSES), (3, 16, 16))


def staged(block: Any) -> Architecture:
    """Two stages of a block, of which the second begins with a stride."""
    second: Any = replace(block, width=2 * block.width)
    return network(Stage.of(block), Stage.of(second, stride=2, projects=True))


def same(block: Block) -> Architecture:
    return network(Stage.of(block, 2))


GROUPED = Convolution(kernel_size=3, group_size=2)
BRANCHED = Reparameterised(kernel_size=3, branches=(1,), group_size=None)
SPACED = DCLS(kernel_size=7, group_size=1, taps=9)
FAMILIES = {
    "plain": same(ConvNormAct(8)),
    "residual": staged(BasicBlock(8)),
    "bottleneck, grouped": staged(Bottleneck(8, expansion=Fraction(1, 2), conv=GROUPED)),
    "with squeeze-and-excitation": staged(
        Bottleneck(8, conv=GROUPED, expansion=1, squeeze_excitation=SqueezeExcitation())
    ),
    "inverted residual": staged(InvertedResidual(8, expansion=2)),
    "fused inverted residual": staged(FusedInvertedResidual(8, expansion=2)),
    "convolution first": staged(ConvFirstBlock(8, expansion=2, conv=GROUPED)),
    "mobile": staged(InvertedResidualMobile(8, expansion=2)),
    "depthwise separable": same(DepthwiseSeparable(8)),
    "dense": same(DenseLayer(4, 2)),
    "ConvNeXt": same(ConvNeXtBlock(8, expansion=2)),
    "ConvNeXt V2": same(ConvNeXtV2Block(8, expansion=2)),
    "MetaFormer": same(MetaFormerBlock(8, expansion=2)),
    "re-parameterised": staged(BasicBlock(8, conv=BRANCHED)),
    "learnable spacings": staged(InvertedResidual(8, expansion=2, conv=SPACED)),
}


def trained(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Weights and statistics far from their start, in double precision."""
    torch.manual_seed(seed)
    net = build(architecture).double()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_var", "weight")) and tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
            elif tensor.dim() == 1:
                tensor.normal_(0, 0.1)
    return dict(net.state_dict())


@dataclass(frozen=True)
class Chain:
    """How far a chain's end is from its beginning: by number format and mode."""

    family: str
    steps: int
    growth: float
    differences: dict[tuple[str, str], float]


def drawn_chain(family: str, seed: int) -> Chain:
    """A chain of 1 to 50 transformations, fewer where the network becomes too large."""
    rng = random.Random(seed)
    first = now = FAMILIES[family]
    start = state = trained(first, seed)
    in_training, steps = True, 0
    for _ in range(rng.randint(1, 50)):
        found = random_step(now, rng)
        if found is None or cost(found[1].new).params > MOST_PARAMS:
            break
        growth = found[1]
        state = grown_state(growth, state, rng.randrange(2**31))
        in_training = in_training and growth.in_training
        now, steps = growth.new, steps + 1
    differences = {}
    x = torch.randn(4, *first.input, dtype=torch.double)
    nets = [(build(first), start), (build(now), state)]
    for kind in (torch.double, torch.float):
        for mode in MODES if in_training else MODES[:1]:
            with torch.no_grad():
                expected, found_ = (_filled(*net, kind, mode)(x.to(kind)) for net in nets)
            name = str(kind).removeprefix("torch.")
            differences[name, mode] = float((found_ - expected).abs().max() / expected.abs().max())
    return Chain(family, steps, cost(now).params / cost(first).params, differences)


def _filled(net: nn.Module, state: dict[str, Tensor], kind: torch.dtype, mode: str) -> nn.Module:
    net.double().load_state_dict(state)
    return net.to(kind).train(mode == "training")


def exact_rows(chains: int) -> list[list[str]]:
    """The worst of all chains of a family."""
    found: dict[str, list[Chain]] = {family: [] for family in FAMILIES}
    with suppress(KeyboardInterrupt):  # what is done by then counts
        for number in range(chains):
            family = list(FAMILIES)[number % len(FAMILIES)]
            found[family].append(drawn_chain(family, number))
    rows = [_exact_row(family, own) for family, own in found.items() if own]
    return [*rows, _exact_row("all", [chain for own in found.values() for chain in own])]


def _exact_row(name: str, chains: Sequence[Chain]) -> list[str]:
    worst = {
        key: max((c.differences[key] for c in chains if key in c.differences), default=None)
        for key in product(("float64", "float32"), MODES)
    }
    return [
        name,
        f"{len(chains):,}",
        f"{sum(c.steps for c in chains):,}",
        f"{max(c.growth for c in chains):.0f}x",
        *("" if value is None else f"{value:.0e}" for value in worst.values()),
    ]


# -- a large network -----------------------------------------------------------------------------
LARGE = (
    ("deepen", "stage3:+1"),
    ("widen", "stage3:1.25x"),
    ("expansion", "stage4:1.25x"),
    ("kernel", "stage2:5"),
    ("squeeze-excitation", "stage2:1/4"),
)


def large_rows() -> list[list[str]]:
    """ResNet-50 and one transformation each: seconds, and memory at its peak beside the weights."""
    architecture = get("resnet50")
    state = dict(build(architecture).state_dict())
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    rows = []
    for name, text in LARGE:
        step = parse_step(name, text)
        new = step.apply(architecture)
        give_back_memory()
        held, start = resident(), time.perf_counter()
        with _Peak() as peak:
            grown = grown_state(plan(architecture, new), state)
        seconds = time.perf_counter() - start
        rows.append(
            [
                str(step),
                f"{cost(new).params / 1e6:.1f}M",
                f"{seconds:.2f}",
                f"{(peak.bytes - held + weights) / weights:.2f}x",
            ]
        )
        del grown
    return rows


# -- growing against training from scratch ---------------------------------------------------------
SMALL = Architecture(
    ConvNormAct(8, 2),
    (
        Stage.of(BasicBlock(8)),
        Stage.of(BasicBlock(16), stride=2, projects=True),
        Stage.of(BasicBlock(32), stride=2, projects=True),
    ),
    Classifier(CLASSES),
    (1, 28, 28),
)
GROWTH = [
    *(("widen", f"stage{n}:2x") for n in (1, 2, 3)),
    *(("deepen", f"stage{n}:+1") for n in (1, 2, 3)),
]
SCRATCH_EPOCHS = 12
PLANS = {
    "grown, equal compute": (44, 6),
    "grown, half the compute": (32, 2),
    "grown early, half the compute": (8, 5),
}
"""Epochs of the small network, and of the large one that it becomes: chosen by seeds 0 to 2 of
CIFAR-10, so others are measured with."""

FIRST_SEED = 3


@dataclass(frozen=True)
class Contest:
    """Data, and the small network and the large one that it grows into."""

    data: Data
    recipe: Recipe
    small: Architecture
    large: Architecture

    @property
    def macs(self) -> tuple[int, int]:
        return cost(self.small).macs, cost(self.large).macs

    def compute(self, before: int, after: int) -> float:
        """Of so many epochs of both, beside the training from scratch."""
        small, large = self.macs
        return (before * small + after * large) / (SCRATCH_EPOCHS * large)

    def accuracy(self, seed: int, before: int, after: int) -> float:
        """On the test split, after so many epochs of the small network and, as the same training,
        so many of the large one."""
        training = self._training(self.small if before else self.large, seed, before + after)
        if before:
            training.until = before * training.epoch_steps
            training.run()
            own = self._training(self.large, seed, before + after)
            growths = planned(self.small, [parse_step(*each) for each in GROWTH])
            own.restore(grown_tensors(growths, training.tensors(), seed), training.facts())
            training = own
        training.run()
        answers = training.predict(Feed(self.data.test, training.place.device))
        return judge(*answers, self.data.classes).accuracy

    def _training(self, network: Architecture, seed: int, epochs: int) -> Training:
        torch.manual_seed(seed)
        place = Place(torch.device("cpu"))
        return Training(build(network), self.data, replace(self.recipe, epochs=epochs), seed, place)


def contest_rows(source: str, limit: int | None, seeds: int) -> list[list[str]]:
    """Test accuracy from scratch and grown, and the compute that each took."""
    data = Source(source, limit=limit).open()
    small = large = replace(SMALL, input=data.shape)
    for each in GROWTH:
        large = parse_step(*each).apply(large)
    recipe = Recipe(batch_size=64, learning_rate=4e-3, label_smoothing=0.0, ema=0.99)
    contest = Contest(data, recipe, small, large)
    plans = {"from scratch": (0, SCRATCH_EPOCHS)} | PLANS
    found: dict[str, list[float]] = {name: [] for name in plans}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for name, plan_ in plans.items():
            found[name].append(contest.accuracy(seed, *plan_))
        print(seed, {name: f"{own[-1]:.2%}" for name, own in found.items()}, flush=True)
    return [
        [data.name, name, f"{contest.compute(*plans[name]):.2f}",
         f"{mean(own):.2%}", f"{stdev(own) if len(own) > 1 else 0:.2%}"]
        for name, own in found.items()
    ]  # fmt: skip


# -- memory --------------------------------------------------------------------------------------
class _Peak:
    """The most resident memory of this process within a ``with``, looked at every millisecond."""

    def __enter__(self) -> _Peak:
        self.bytes, self._ended = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.001):
            self.bytes = max(self.bytes, resident())


def give_back_memory() -> None:
    """Let the C library (glibc) give freed memory back: what is then taken is counted."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Resident bytes of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="exact,resnet50", help="some of these")
    parser.add_argument("--chains", type=int, default=260)
    parser.add_argument("--data", default="digits", help="for scratch: sources, with commas")
    parser.add_argument("--limit", type=int, help="for scratch: pictures to learn from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    wanted = args.only.split(",")
    torch.set_num_threads(args.threads)
    if "exact" in wanted:
        modes = [f"{kind}, {mode}" for kind in ("float64", "float32") for mode in MODES]
        print_table(
            "Largest relative difference of logits, over chains of 1 to 50 transformations",
            ["family", "chains", "transformations", "largest growth", *modes],
            exact_rows(args.chains),
        )
    if "resnet50" in wanted:
        print_table(
            "One transformation of ResNet-50 (25.6M parameters)",
            ["transformation", "parameters", "seconds", "peak memory beside the weights"],
            large_rows(),
        )
    if "scratch" in wanted:
        rows = [
            row
            for source in args.data.split(",")
            for row in contest_rows(source, args.limit, args.seeds)
        ]
        print_table(
            f"Grown against from scratch ({SCRATCH_EPOCHS} epochs), over {args.seeds} seeds",
            ["data", "training", "compute", "test accuracy", "deviation"],
            rows,
        )
    if "expansion" in wanted:
        source = Source(args.data, limit=args.limit)
        recipe = Recipe(batch_size=32, learning_rate=4e-3, label_smoothing=0.0, ema=0.99)
        print_table(
            f"{EPOCHS} epochs on {args.data}, over {args.seeds} seeds",
            [
                "the trained network", "growths", "parameters", "compute", "test accuracy",
                "deviation", "seconds",
            ],
            expansion_rows(source, recipe, range(args.seeds)),
        )  # fmt: skip


if __name__ == "__main__":
    main()
