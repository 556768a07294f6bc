"""Search spaces small enough to enumerate, for tests that compare with brute force."""

from __future__ import annotations

import random
from fractions import Fraction

from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, NormDownsample, PatchStem
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution, depthwise
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


TINY = {"mobile": tiny_mobile, "resnet": tiny_resnet, "convnext": tiny_convnext}


def draws(space: SearchSpace, count: int, seed: int = 0) -> list[tuple]:  # type: ignore[type-arg]
    """``count`` random points."""
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]
