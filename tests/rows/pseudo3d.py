"""Rows of P3D: pseudo-3-D convolutions and their bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from drawn import activations, norms
from hypothesis import strategies as st

from archsearch.blocks.pseudo3d import Pseudo3dBottleneck
from archsearch.convolutions.pseudo3d import Pseudo3d
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool
from rows import alone, staged

Variant = Literal["A", "B", "C"]
variants: tuple[Variant, ...] = ("A", "B", "C")
pseudo3d = st.builds(
    Pseudo3d,
    variant=st.sampled_from(variants),
    kernel_size=st.sampled_from([1, 3]),
    temporal_kernel_size=st.sampled_from([1, 3, 5]),
)

CONVOLUTIONS = {
    "Pseudo3d": alone(
        Pseudo3d,
        out_channels=st.sampled_from([None, 8, 24]),
        stride=st.sampled_from([1, 2, (1, 2, 2), (2, 1, 1)]),
        variant=st.sampled_from(variants),
        kernel_size=st.sampled_from([3, 5]),
        temporal_kernel_size=st.sampled_from([3, 5]),
        norm=st.none() | norms,
        activation=st.none() | activations,
    )
}
BLOCKS = {
    "Pseudo3dBottleneck": staged(
        "Pseudo3dBottleneck",
        expansion=st.sampled_from([1, Fraction(1, 4), Fraction(1, 2)]),
        conv=pseudo3d | st.just(Convolution(kernel_size=(1, 3, 3))),
        pool=st.sampled_from([None, MaxPool((2, 1, 1), (2, 1, 1))]),
    )
}
DIMENSIONS = {"Pseudo3d": (3,), "Pseudo3dBottleneck": (3,)}
PUBLISHED = {
    "p3d63": (25_745_232, 8_441_856_000),
    "p3d131": (48_088_400, 12_898_304_000),
    "p3d199": (66_492_240, 18_403_328_000),
}
GROUND_TRUTH_MODELS = {"P3D63": "p3d63", "P3D199": "p3d199"}


def _bottleneck(variant: Variant, config: Mapping[str, Any]) -> Pseudo3dBottleneck:
    return Pseudo3dBottleneck(4 * config["planes"], conv=Pseudo3d(variant=variant))


GROUND_TRUTH_CHECKS = {
    "P3D-A": lambda config, x: _bottleneck("A", config),
    "P3D-B": lambda config, x: _bottleneck("B", config),
    "P3D-C": lambda config, x: _bottleneck("C", config),
}
