"""Rows of the atrous pyramid, and of dropout that ends it."""

from __future__ import annotations

from drawn import activations
from hypothesis import strategies as st

from archsearch.convolutions.atrous_pyramid import AtrousPyramid
from archsearch.operators.dropout import Dropout
from rows import alone

OPERATORS = {"Dropout": alone(Dropout, p=st.sampled_from([0.0, 0.1, 0.5]))}
CONVOLUTIONS = {
    "AtrousPyramid": alone(
        AtrousPyramid,
        out_channels=st.sampled_from([None, 8, 24]),
        rates=st.sampled_from([(2,), (1, 3), (2, 4, 6)]),
        kernel_size=st.sampled_from([3, 5]),
        activation=activations,
    )
}
WHOLE_MAP = {"AtrousPyramid"}
GROUND_TRUTH_CHECKS = {
    "ASPP": lambda config, x: AtrousPyramid(256, rates=tuple(config["rates"])),
}
