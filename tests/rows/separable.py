"""Rows of the separable convolution."""

from __future__ import annotations

from hypothesis import strategies as st

from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.separable import Separable
from archsearch.operators.convolution import depthwise
from rows import alone

CONVOLUTIONS = {
    "Separable": alone(
        Separable,
        out_channels=st.sampled_from([None, 8, 24]),
        stride=st.sampled_from([1, 2]),
        conv=st.sampled_from(
            [
                depthwise(3),
                depthwise(5, dilation=2),
                DCLS(kernel_size=5, taps=3, group_size=1, bias=True),
                Separable(conv=depthwise(3)),
            ]
        ),
        bias=st.booleans(),
    )
}
