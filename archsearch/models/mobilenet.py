"""MobileNet V1 (Howard et al. 2017), V2 (Sandler et al. 2018), V3-Large (Howard et al. 2019)."""

from __future__ import annotations

from fractions import Fraction

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.depthwise_separable import DepthwiseSeparable
from ..blocks.inverted_residual import InvertedResidual
from ..blocks.plain import ConvNormAct
from ..operators.activation import Hardsigmoid, Hardswish, ReLU, ReLU6
from ..operators.convolution import Convolution, depthwise
from ..poly import Ratio
from ..recipes.squeeze_excitation import SqueezeExcitation


def mobilenetv1() -> Architecture:
    rows = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))  # width, depth, stride
    stages = tuple(Stage.of(DepthwiseSeparable(w), d, stride=s) for w, d, s in rows)
    return Architecture(ConvNormAct(32, 2), stages, Classifier())


def mobilenetv2(width_multiplier: Ratio = 1) -> Architecture:
    """Widths are the nearest multiples of 8, for a multiplier of at least 1."""

    def widened(width: int) -> int:
        return int(width * width_multiplier + 4) // 8 * 8

    rows = (  # expansion, width, depth, stride: table 2 of the paper
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip
    stages = [
        Stage.of(InvertedResidual(widened(w), expansion=e), d, stride=s, projects=True)
        for e, w, d, s in rows
    ]
    pointwise = ConvNormAct(widened(1280), conv=Convolution(), activation=ReLU6())
    stem = ConvNormAct(widened(32), 2, activation=ReLU6())
    return Architecture(stem, (*stages, Stage.of(pointwise)), Classifier())


def mobilenetv3_large() -> Architecture:
    """Table 1 of the paper; the squeeze widths are the multiple of 8 nearest a quarter of the
    inner width."""
    rows: tuple[tuple[tuple[int, int, int, int, int, int], ...], ...] = (
        # kernel, inner width, width, squeeze width (0: none), hardswish, stride
        ((3, 16, 16, 0, 0, 1),),
        ((3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1)),
        ((5, 72, 40, 24, 0, 2), (5, 120, 40, 32, 0, 1), (5, 120, 40, 32, 0, 1)),
        ((3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), *((3, 184, 80, 0, 1, 1),) * 2),
        ((3, 480, 112, 120, 1, 1), (3, 672, 112, 168, 1, 1)),
        ((5, 672, 160, 168, 1, 2), (5, 960, 160, 240, 1, 1), (5, 960, 160, 240, 1, 1)),
    )  # fmt: skip
    stages, width_in = [], 16
    for stage in rows:
        runs = []
        for kernel, inner, width, squeezed, hardswish, stride in stage:
            ratio = exact(squeezed, width_in)
            runs.append(Run(InvertedResidual(
                width, stride, projects=stride > 1 or width != width_in,
                expansion=exact(inner, width_in), conv=depthwise(kernel),
                squeeze_excitation=SqueezeExcitation(ratio, gate=Hardsigmoid()) if ratio else None,
                activation=Hardswish() if hardswish else ReLU(),
            )))  # fmt: skip
            width_in = width
        stages.append(Stage(tuple(runs)))
    pointwise = ConvNormAct(960, conv=Convolution(), activation=Hardswish())
    return Architecture(
        ConvNormAct(16, 2, activation=Hardswish()),
        (*stages, Stage.of(pointwise)),
        Classifier(hidden=(1280,), activation=Hardswish()),
    )


def exact(part: int, whole: int) -> Ratio:
    """The ratio as an integer where it is one."""
    ratio = Fraction(part, whole)
    return ratio.numerator if ratio.denominator == 1 else ratio


MODELS = {
    "mobilenetv1_100": mobilenetv1,
    "mobilenetv2_100": mobilenetv2,
    "mobilenetv2_140": lambda: mobilenetv2(Fraction(7, 5)),
    "mobilenetv3_large_100": mobilenetv3_large,
}
