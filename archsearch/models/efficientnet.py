"""EfficientNet-B0 (Tan & Le 2019)."""

from __future__ import annotations

from ..architecture import Architecture, Stage
from ..blocks.classifier import Classifier
from ..blocks.inverted_residual import InvertedResidual
from ..blocks.plain import ConvNormAct
from ..operators.activation import SiLU
from ..operators.convolution import Convolution, depthwise
from ..recipes.squeeze_excitation import SqueezeExcitation


def efficientnet_b0() -> Architecture:
    rows = (  # expansion, width, depth, stride, kernel: table 1 of the paper
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    )  # fmt: skip
    se = SqueezeExcitation(activation=SiLU())
    stages = [
        Stage.of(
            InvertedResidual(
                w, expansion=e, conv=depthwise(k), squeeze_excitation=se, activation=SiLU()
            ),
            d, stride=s, projects=True,
        )
        for e, w, d, s, k in rows
    ]  # fmt: skip
    pointwise = ConvNormAct(1280, conv=Convolution(), activation=SiLU())
    stem = ConvNormAct(32, 2, activation=SiLU())
    return Architecture(stem, (*stages, Stage.of(pointwise)), Classifier())


MODELS = {"efficientnet_b0": efficientnet_b0}
