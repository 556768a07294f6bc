"""DenseNet-121 (Huang et al. 2017)."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.dense import DenseLayer, DenseTransition
from ..blocks.plain import ConvNormAct
from ..operators.convolution import Convolution
from ..operators.pooling import MaxPool


def densenet(depths: tuple[int, ...], growth_rate: int = 32) -> Architecture:
    """Stages of dense layers; a transition halves the width and the size between them."""
    stem = ConvNormAct(64, 2, Convolution(kernel_size=7), pool=MaxPool(3, 2, padding=1))
    stages, width = [], stem.width
    for i, depth in enumerate(depths):
        width += depth * growth_rate
        runs = [Run(DenseLayer(growth_rate), depth)]
        if i < len(depths) - 1:
            width //= 2
            runs.append(Run(DenseTransition(width)))
        stages.append(Stage(tuple(runs)))
    return Architecture(stem, tuple(stages), Classifier(pre_norm=True))


MODELS = {"densenet121": lambda: densenet((6, 12, 24, 16))}
