"""The row of a stem that looks at another resolution."""

from __future__ import annotations

from hypothesis import strategies as st

from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.resized import Resized
from rows import strides, widths


def resized(width: int, size: int, stride: int) -> Resized:
    return Resized(width, size, ConvNormAct(width, stride))


BLOCKS = {"Resized": st.builds(resized, widths, st.sampled_from([7, 9, 11, 12]), strides)}
WHOLE_MAP = {"Resized"}
