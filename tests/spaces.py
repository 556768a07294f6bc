"""Search spaces small enough to enumerate, for tests that compare with brute force."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

from archsearch.block import Block, conv_norm_act
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.graph import Tracer, Value
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.normalization import BatchNorm
from archsearch.poly import concrete
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import InnerWidths, SearchSpace, StageSpace, choice

INPUT = (3, 32, 32)


def tiny_mobile() -> SearchSpace:
    """Depthwise stages: kernel sizes, expansions (1 among them) and squeeze-and-excitation open."""
    return SearchSpace(
        "tiny_mobile",
        ConvNormAct(choice(8, 16), 2),
        (
            StageSpace(
                InvertedResidual(
                    choice(8, 16), expansion=choice(1, 2), conv=depthwise(choice(3, 5))
                ),
                (1, 2),
                2,
            ),
            StageSpace(
                InvertedResidual(
                    choice(16, 24),
                    expansion=3,
                    squeeze_excitation=choice(None, SqueezeExcitation(Fraction(1, 4))),
                ),
                (1, 3),
                2,
            ),
            StageSpace(ConvNormAct(32, conv=Convolution())),
        ),
        Classifier(10),
        INPUT,
        effectiveness=3.0,
    )


def tiny_resnet() -> SearchSpace:
    """Bottlenecks: inner widths and grouped convolution open, a limit on growth."""
    convolution = choice(Convolution(kernel_size=3), Convolution(kernel_size=3, group_size=8))
    return SearchSpace(
        "tiny_resnet",
        ConvNormAct(choice(8, 16), 2),
        (
            StageSpace(
                Bottleneck(choice(16, 32), expansion=InnerWidths(8, Fraction(1, 4), 1)),
                (1, 2),
                1,
                most_growth=2,
            ),
            StageSpace(
                Bottleneck(choice(24, 48), expansion=Fraction(1, 2), conv=convolution),
                (1, 2, 3),
                2,
                most_growth=2,
            ),
        ),
        Classifier(10),
        INPUT,
        effectiveness=1.0,
    )


def tiny_convnext() -> SearchSpace:
    """Stages that begin with a downsampling, and a first one that must keep the stem's width."""
    return SearchSpace(
        "tiny_convnext",
        PatchStem(choice(8, 16), 2),
        (
            StageSpace(ConvNeXtBlock(choice(8, 16), conv=depthwise(choice(3, 7))), (1, 2)),
            StageSpace(
                ConvNeXtBlock(choice(16, 24, 32), expansion=choice(2, 4)),
                (1, 2),
                before=NormDownsample(8),
            ),
        ),
        Classifier(10),
        INPUT,
        effectiveness=3.0,
    )


def tiny_nested() -> SearchSpace:
    """Stem and stages a choice of blocks, and these with choices of operators open themselves."""
    dilated = Convolution(kernel_size=3, dilation=choice(2, 3), group_size=1)
    grouped = Convolution(kernel_size=3, group_size=choice(8, 16))
    return SearchSpace(
        "tiny_nested",
        choice(ConvNormAct(choice(8, 16), 2), PatchStem(8, 2)),
        (
            StageSpace(
                choice(
                    ConvNeXtBlock(choice(8, 16), 2, conv=choice(depthwise(choice(3, 5)), dilated)),
                    InvertedResidual(16, expansion=choice(1, 3), of_output=True),
                ),
                (1, 2),
                before=NormDownsample(8),
            ),
            StageSpace(
                choice(
                    Bottleneck(
                        choice(16, 32), expansion=InnerWidths(8, Fraction(1, 2), 1), conv=grouped
                    ),
                    InvertedResidual(
                        choice(16, 24),
                        expansion=2,
                        of_output=True,
                        conv=choice(Convolution(kernel_size=3), depthwise(choice(3, 7))),
                    ),
                ),
                (2,),
                2,
            ),
        ),
        Classifier(10),
        INPUT,
        effectiveness=3.0,
    )


@dataclass(frozen=True)
class Rounded(Block, abstract=True):
    """Needs single integers: a loop over ``layers``, and a squeeze to a multiple of 8 (at least 16)
    of a third of the channels it gets; with ``squeeze_width``, of its own width."""

    width: int
    layers: int = 2
    kernel_size: int = 3
    squeeze_width: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        squeezed = concrete(self.width if self.squeeze_width else x.shape.channels, "channels") / 3
        inner = max(int(squeezed / 8 + 0.5) * 8, 16)
        for i in range(concrete(self.layers, "layers")):
            conv = Convolution(inner, self.kernel_size, group_size=8)
            x = conv_norm_act(g, f"conv{i}", conv, x, BatchNorm())
        return g("project", Convolution(self.width), x)


def tiny_rounded() -> SearchSpace:
    """Costs that are no polynomials, group sizes that do not divide, blocks that cannot repeat."""
    own = Rounded(choice(20, 40, 64), choice(1, 2), squeeze_width=True)
    return SearchSpace(
        "tiny_rounded",
        ConvNormAct(choice(16, 24, 32), 2),
        (
            StageSpace(choice(own, Rounded(choice(48, 56)), ConvNormAct(40)), (1, 2)),
            StageSpace(Rounded(choice(64, 80), kernel_size=choice(3, 5)), (2, 3)),
        ),
        Classifier(10),
        (3, 16, 16),
        effectiveness=3.0,
    )


TINY = {
    "mobile": tiny_mobile,
    "resnet": tiny_resnet,
    "convnext": tiny_convnext,
    "nested": tiny_nested,
    "rounded": tiny_rounded,
}


def draws(space: SearchSpace, count: int, seed: int = 0) -> list[tuple]:  # type: ignore[type-arg]
    """``count`` random points."""
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]
