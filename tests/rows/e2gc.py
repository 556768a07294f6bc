"""Rows of networks with one group size everywhere."""

from __future__ import annotations

PUBLISHED = {
    "mobilenetv1_e2gc_g1": (4_231_976, 568_740_352),
    "mobilenetv1_e2gc_g2": (4_276_616, 586_126_336),
    "mobilenetv1_e2gc_g4": (4_365_896, 620_898_304),
    "mobilenetv1_e2gc_g8": (4_544_456, 690_442_240),
    "mobilenetv1_e2gc_g16": (4_901_576, 829_530_112),
    "mobilenetv1_e2gc_g32": (5_615_816, 1_107_705_856),
    "resnext50_e2gc_g1": (23_682_216, 4_024_105_984),
    "resnext50_e2gc_g2": (23_750_184, 4_048_943_104),
    "resnext50_e2gc_g4": (23_886_120, 4_098_617_344),
    "resnext50_e2gc_g8": (24_157_992, 4_197_965_824),
    "resnext50_e2gc_g16": (24_701_736, 4_396_662_784),
    "resnext50_e2gc_g32": (25_789_224, 4_794_056_704),
    "resnext50_e2gc_g64": (27_964_200, 5_588_844_544),
}
GROUND_TRUTH_MODELS = {
    **{f"MobileNetV1-E2GC-G{size}": f"mobilenetv1_e2gc_g{size}" for size in (1, 4, 8, 16)},
    **{f"ResNeXt50-E2GC-G{size}": f"resnext50_e2gc_g{size}" for size in (1, 4, 8, 16)},
}
