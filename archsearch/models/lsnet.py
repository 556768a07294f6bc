"""LSNet (Wang et al. 2025): local and large-small convolutions in turn, attention at the end."""

from __future__ import annotations

from ..architecture import Architecture, Run, Stage
from ..blocks.classifier import Classifier
from ..blocks.lsnet import LSNetBlock, LSNetDownsample, LSNetPair, LSNetStem
from ..convolutions.offset_attention import OffsetAttention
from ..operators.normalization import BatchNorm


def lsnet(widths: tuple[int, ...], depths: tuple[int, ...]) -> Architecture:
    """Stages of ``depths`` blocks, local ones and others in turn; the others of the last stage are
    attention. A first stage without blocks is the stem alone."""
    stages = []
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        runs = [Run(LSNetDownsample(width))] if i else []
        pair = LSNetPair(width, OffsetAttention()) if i == 3 else LSNetPair(width)
        runs += [Run(pair, depth // 2)] if depth > 1 else []
        runs += [Run(LSNetBlock(width))] if depth % 2 else []
        stages += [Stage(tuple(runs))] if runs else []
    return Architecture(LSNetStem(widths[0]), tuple(stages), Classifier(norm=BatchNorm()))


MODELS = {
    "lsnet_t": lambda: lsnet((64, 128, 256, 384), (0, 2, 8, 10)),
    "lsnet_s": lambda: lsnet((96, 192, 320, 448), (1, 2, 8, 10)),
    "lsnet_b": lambda: lsnet((128, 256, 384, 512), (4, 6, 8, 10)),
}
