"""Rows of VGG, DenseNet, and the parts that stand at the ends of many networks."""

from __future__ import annotations

from drawn import activations, dense, norms
from hypothesis import strategies as st

from archsearch.operators.normalization import LayerNorm
from archsearch.operators.pooling import AvgPool, MaxPool
from rows import built, strides, widths

BLOCKS = {
    "ConvNormAct": built(
        "ConvNormAct",
        widths,
        strides,
        dense,
        st.none() | norms,
        st.none() | activations,
        st.sampled_from([None, MaxPool(), AvgPool(3, 2, 1)]),
        st.booleans(),
    ),
    "DenseLayer": built("DenseLayer", st.sampled_from([4, 12]), st.sampled_from([2, 4]), dense),
    "DenseTransition": built("DenseTransition", widths),
    "Classifier": built(
        "Classifier",
        st.sampled_from([1, 10]),
        st.lists(st.sampled_from([8, 24]), max_size=2).map(tuple),
        activations,
        st.none() | st.just(LayerNorm()),
        st.booleans(),
        st.booleans(),
    ),
}
WHOLE_MAP = {"Classifier"}

PUBLISHED = {
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg16_bn": (138_365_992, 15_470_264_320),
    "vgg16": (138_357_544, 15_470_264_320),
    "densenet121": (7_978_856, 2_834_161_664),
}
