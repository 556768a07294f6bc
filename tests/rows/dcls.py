"""Rows of dilated convolution with learnable spacings, and of ConvNeXt with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from archsearch.convolutions.dcls import DCLS
from rows import Alone

groupings = st.sampled_from([{}, {"groups": 4}, {"group_size": 1}, {"group_size": 4}])


def drawn(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """With few enough positions that some weight reaches the border of every kernel."""
    common = {
        "out_channels": st.sampled_from([None, 32]),
        "stride": st.sampled_from([1, 2]),
        "bias": st.booleans(),
    }
    options = st.fixed_dictionaries(common | settings)
    return st.tuples(options, groupings).map(lambda pair: Alone(DCLS(**pair[0], **pair[1])))


OPERATORS = {
    "DCLS": drawn(
        kernel_size=st.just(3),
        taps=st.sampled_from([2, 3]),
        interpolation=st.sampled_from(["bilinear", "triangle", "max"]),
    )
    | drawn(
        kernel_size=st.sampled_from([3, 5, 7]),
        taps=st.sampled_from([1, 3]),
        dilation=st.sampled_from([1, 2]),
    )
}


def of_check(config: Mapping[str, Any], input_shape: tuple[int, ...]) -> DCLS:
    names = {"v0": "bilinear", "v1": "triangle"}
    version = config["version"]
    return DCLS(
        config["co"],
        config["K"],
        taps=config["m"],
        groups=config["g"],
        interpolation=names.get(version, version),
        bias=True,
    )


PUBLISHED = {
    "convnext_tiny_dcls": (28_587_688, 4_970_337_024),
    "convnext_small_dcls": (50_217_064, 9_523_658_496),
    "convnext_base_dcls": (88_582_632, 16_474_657_792),
    "convnext_tiny_dcls_gauss": (28_586_536, 5_485_142_784),
}
GROUND_TRUTH_MODELS = {
    "ConvNeXt-T-dcls": "convnext_tiny_dcls",
    "ConvNeXt-T-dcls-gauss": "convnext_tiny_dcls_gauss",
}
GROUND_TRUTH_CHECKS = {"Dcls2d": of_check}
