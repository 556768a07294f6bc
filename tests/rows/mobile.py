"""Rows of networks for small devices: MobileNet, EfficientNet."""

from __future__ import annotations

from drawn import activations, dense, norms, ratios, spatial, squeezes
from hypothesis import strategies as st

from rows import built, staged, strides, widths

BLOCKS = {
    "InvertedResidual": staged(
        "InvertedResidual",
        expansion=ratios,
        conv=spatial,
        squeeze_excitation=squeezes,
        of_output=st.booleans(),
        final_activation=st.booleans(),
    ),
    "FusedInvertedResidual": staged(
        "FusedInvertedResidual", expansion=ratios, conv=dense, squeeze_excitation=squeezes
    ),
    "DepthwiseSeparable": built("DepthwiseSeparable", widths, strides, spatial, norms, activations),
}

PUBLISHED = {
    "mobilenetv1_100": (4_231_976, 568_740_352),
    "mobilenetv2_100": (3_504_872, 300_774_272),
    "mobilenetv3_large_100": (5_483_032, 216_589_760),
    "efficientnet_b0": (5_288_548, 385_814_752),
}
GROUND_TRUTH_MODELS = {
    "timm.mobilenetv1_100": "mobilenetv1_100",
    "timm.mobilenetv2_100": "mobilenetv2_100",
    "torchvision.mobilenet_v2": "mobilenetv2_100",
}
