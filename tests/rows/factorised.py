"""Rows of R(2+1)D, and of the video networks it is compared with."""

from __future__ import annotations

from fractions import Fraction

from drawn import activations, norms
from hypothesis import strategies as st

from archsearch.convolutions.factorised import Factorised
from rows import alone

common = {
    "out_channels": st.sampled_from([None, 8, 24]),
    "stride": st.sampled_from([1, 2, (1, 2, 2), (2, 1, 1)]),
    "kernel_size": st.sampled_from([3, 5]),
    "temporal_kernel_size": st.sampled_from([3, 5]),
    "norm": st.none() | norms,
    "activation": st.none() | activations,
    "bias": st.booleans(),
}

CONVOLUTIONS = {
    "Factorised": alone(Factorised, **common)
    | alone(Factorised, middle=st.sampled_from([5, 16]), **common)
    | alone(Factorised, expansion=st.sampled_from([2, Fraction(9, 4)]), **common)
}
DIMENSIONS = {"Factorised": (3,)}
NO_POLYNOMIAL = {"Factorised": "the middle width that matches a 3-D convolution is rounded down"}
PUBLISHED = {
    "r3d_18": (33_371_472, 40_696_553_472),
    "mc3_18": (11_695_440, 43_342_635_008),
    "r2plus1d_18": (31_505_325, 40_519_080_960),
}
GROUND_TRUTH_MODELS = {f"torchvision.{name}": name for name in PUBLISHED}
GROUND_TRUTH_CHECKS = {
    "Conv2Plus1D": lambda config, x: Factorised(config["no"], middle=config["mid"])
}
