"""P3D ResNet (Qiu et al. 2017): variants A, B, C in turn, for clips of 16 frames of 160 x 160.

The details that the paper leaves open are those of the public implementation
qijiezhao/pseudo-3d-pytorch: where time is pooled, and the stride on the first 1x1x1.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Literal

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.plain import ConvNormAct
from ..blocks.pseudo3d import Pseudo3dBottleneck
from ..convolutions.pseudo3d import Pseudo3d
from ..operators.convolution import Convolution
from ..operators.pooling import MaxPool

CLIP = (3, 16, 160, 160)
TIME = MaxPool((2, 1, 1), (2, 1, 1))
STEM = ConvNormAct(
    64,
    stride=(1, 2, 2),
    conv=Convolution(kernel_size=(1, 7, 7)),
    pool=MaxPool((2, 3, 3), 2, padding=(0, 1, 1)),
)
VARIANTS: tuple[Literal["A", "B", "C"], ...] = ("A", "B", "C")


def p3d(depths: tuple[int, ...]) -> Architecture:
    """The ResNet of these depths; its last stage convolves frames one by one."""
    variants = cycle(Pseudo3d(variant=variant) for variant in VARIANTS)
    stages = []
    for i, depth in enumerate(depths):
        block = Pseudo3dBottleneck(256 * 2**i, conv=Convolution(kernel_size=(1, 3, 3)))
        last = i == len(depths) - 1
        blocks = [block if last else replace(block, conv=next(variants)) for _ in range(depth)]
        blocks[0] = replace(blocks[0], projects=True, stride=(1, 2, 2) if i else 1)
        if not last:
            blocks[-1] = replace(blocks[-1], pool=TIME)
        stages.append(Stage(tuple(Run(block) for block in blocks)))
    return Architecture(STEM, tuple(stages), Classifier(400), CLIP)


MODELS = {
    "p3d63": lambda: p3d((3, 4, 6, 3)),
    "p3d131": lambda: p3d((3, 4, 23, 3)),
    "p3d199": lambda: p3d((3, 8, 36, 3)),
}
