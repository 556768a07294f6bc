"""Rows of DeepLabv3 and of heads that score every position."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from drawn import activations, norms
from hypothesis import strategies as st

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.blocks.dense_prediction import FCNHead
from archsearch.convolutions.atrous_pyramid import AtrousPyramid
from archsearch.graph import Tracer, Value
from archsearch.operators.resampling import Resize, Upsample
from rows import built

upsamples = st.sampled_from([None, Upsample(2), Resize(24)])

BLOCKS = {
    "DeepLabHead": built(
        "DeepLabHead",
        st.sampled_from([1, 10]),
        st.sampled_from([8, 16]),
        pyramid=st.builds(AtrousPyramid, rates=st.sampled_from([(2,), (1, 3)])),
        norm=norms,
        activation=activations,
        upsample=upsamples,
    ),
    "FCNHead": built(
        "FCNHead",
        st.sampled_from([1, 10]),
        ratio=st.sampled_from([1, Fraction(1, 4)]),
        norm=norms,
        activation=activations,
        upsample=upsamples,
    ),
}
WHOLE_MAP = {"DeepLabHead"}


@dataclass(frozen=True)
class WithAuxiliary(Architecture):
    """A network with the FCN head that torchvision trains on its third stage and counts too."""

    def expand(self, g: Tracer, x: Value) -> Value:
        for name, part in self.parts():
            x = g.scope(name, part, x)
            if name == "stages.2":
                g.scope("auxiliary", FCNHead(), x)
        return x


def with_auxiliary(name: str) -> Architecture:
    network = models.get(name)
    return WithAuxiliary(network.stem, network.stages, network.head, network.input)


AUXILIARY = (2_365_205, 9_990_739_200)
"""FCN's head on ResNet's third stage: 9 * 1024 * 256 + 2 * 256 + 257 * 21 parameters, 65^2
positions. torchvision publishes the sums: 42,004,074 parameters and 178,721,945,088 MACs for
ResNet-50, 60,996,202 and 258,743,039,488 for ResNet-101."""
SMALL_AUXILIARY = (3_851, 16_097_250)
"""The same of MobileNetV3's, of 40 channels: the sums are 11,029,328 and 10,452,447,938."""
PUBLISHED = {
    "deeplabv3_resnet50": (42_004_074 - AUXILIARY[0], 178_721_945_088 - AUXILIARY[1]),
    "deeplabv3_resnet101": (60_996_202 - AUXILIARY[0], 258_743_039_488 - AUXILIARY[1]),
    "deeplabv3_mobilenet_v3_large": (
        11_029_328 - SMALL_AUXILIARY[0],
        10_452_447_938 - SMALL_AUXILIARY[1],
    ),
}
GROUND_TRUTH_MODELS = {
    f"torchvision.{name}": lambda name=name: with_auxiliary(name)
    for name in ("deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large")
}
