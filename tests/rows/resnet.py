"""Rows of residual networks: ResNet, ResNeXt, RegNet, DeepMAD's."""

from __future__ import annotations

from drawn import dense, ratios, spatial, squeezes
from hypothesis import strategies as st

from rows import staged

BLOCKS = {
    "BasicBlock": staged("BasicBlock", expansion=ratios, conv=dense, pointwise_entry=st.booleans()),
    "Bottleneck": staged("Bottleneck", expansion=ratios, conv=spatial, squeeze_excitation=squeezes),
}
RECIPES = {"SqueezeExcitation": squeezes.filter(lambda recipe: recipe is not None)}
WHOLE_MAP = {"SqueezeExcitation"}

PUBLISHED = {
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "regnetx_002": (2_684_792, 199_039_872),
    "regnetx_004": (5_157_512, 397_677_568),
    "regnetx_006": (6_196_040, 600_890_112),
    "regnetx_008": (7_259_656, 799_699_712),
    "regnetx_016": (9_190_136, 1_602_849_792),
    "regnetx_032": (15_296_552, 3_176_621_952),
    "regnetx_040": (22_118_248, 3_964_498_816),
    "regnety_002": (3_162_996, 199_514_080),
    "regnety_004": (4_344_144, 401_842_848),
    "regnety_006": (6_055_160, 601_220_992),
    "regnety_008": (6_263_168, 797_176_832),
    "regnety_016": (11_202_430, 1_612_076_160),
    "regnety_032": (19_436_338, 3_176_482_752),
    "regnety_040": (20_646_656, 3_973_288_448),
    "deepmad_r18": (11_826_088, 1_811_574_016),
    "deepmad_r34": (21_690_160, 3_634_913_856),
}
GROUND_TRUTH_MODELS = {
    "torchvision.resnet50": "resnet50",
    "torchvision.resnext50_32x4d": "resnext50_32x4d",
}
