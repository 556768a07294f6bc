"""VGG with batch norm (Simonyan & Zisserman 2015)."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..operators.activation import ReLU
from ..operators.normalization import BatchNorm
from ..operators.pooling import MaxPool


def vgg(depths: tuple[int, ...], batch_norm: bool = True) -> Architecture:
    """Stages of 3x3 convolutions, each ended by max pooling; two hidden layers of 4096."""
    norm = BatchNorm() if batch_norm else None
    stages = []
    for width, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        last = Run(ConvNormAct(width, norm=norm, pool=MaxPool(), bias=True))
        before = (Run(ConvNormAct(width, norm=norm, bias=True), depth - 1),) if depth > 1 else ()
        stages.append(Stage((*before, last)))
    head = Classifier(hidden=(4096, 4096), activation=ReLU(), pool=False)
    return Architecture(None, tuple(stages), head)


MODELS = {
    "vgg11": lambda: vgg((1, 1, 2, 2, 2), batch_norm=False),
    "vgg16_bn": lambda: vgg((2, 2, 3, 3, 3)),
    "vgg16": lambda: vgg((2, 2, 3, 3, 3), batch_norm=False),
}
