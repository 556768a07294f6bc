"""What no convolution can be: refused in one line that names it, the value and what would do.

Every row is refused twice: as a file, by the command line with status 2, and as a description in
Python when it is made or traced. Torch is not asked.
"""

from __future__ import annotations

import json
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from command_line import refused

from archsearch import convolutions  # noqa: F401  (imported, its classes are known)
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.graph import Tracer, Value
from archsearch.legality import collecting
from archsearch.operator import IllegalArchitecture, Operator, Shape
from archsearch.spatial import CompositeConvolution, Spatial

MAP, LINE, CLIP = (64, 14, 14), (64, 40), (64, 8, 14, 14)
EVEN = "4 is even; 3 or 5 keep the size"

Row = tuple[str, dict[str, Any], tuple[int, ...], dict[str, Any], str]
"""Variant, its fields as a file says them, the input, what the block asks for, expected words."""

KERNEL_SIZES: list[Row] = [
    ("Convolution", {"kernel_size": 4}, MAP, {}, f"Convolution: kernel_size {EVEN}"),
    ("Convolution", {"kernel_size": [3, 4]}, MAP, {}, f"Convolution: kernel_size {EVEN}"),
    ("DCLS", {"kernel_size": 4}, MAP, {}, f"DCLS: kernel_size {EVEN}"),
    ("WeightedConvolution", {"kernel_size": 4, "padding": 1}, MAP, {},
     "WeightedConvolution: kernel_size 4 is even, so it has no middle; 5 has"),
    ("AtrousPyramid", {"kernel_size": 4}, MAP, {}, f"AtrousPyramid: kernel_size {EVEN}"),
    ("Factorised", {"kernel_size": 4}, CLIP, {}, f"Factorised: kernel_size {EVEN}"),
    ("Factorised", {"temporal_kernel_size": 4}, CLIP, {},
     f"Factorised: temporal_kernel_size {EVEN}"),
    ("Pseudo3d", {"kernel_size": 4}, CLIP, {}, f"Pseudo3d: kernel_size {EVEN}"),
    ("Pseudo3d", {"temporal_kernel_size": 4}, CLIP, {}, f"Pseudo3d: temporal_kernel_size {EVEN}"),
    ("InceptionDepthwise", {"square_kernel_size": 4}, MAP, {},
     f"InceptionDepthwise: square_kernel_size {EVEN}"),
    ("InceptionDepthwise", {"band_kernel_size": 4}, MAP, {},
     f"InceptionDepthwise: band_kernel_size {EVEN}"),
    ("LSConvolution", {"large_kernel_size": 4}, MAP, {}, f"kernel_size {EVEN}"),
    ("LSConvolution", {"small_kernel_size": 4}, MAP, {}, f"kernel_size {EVEN}"),
    ("OffsetAttention", {"query_kernel_size": 4}, MAP, {},
     f"OffsetAttention: query_kernel_size {EVEN}"),
    ("GlobalLocalFilter", {"kernel_size": 4}, MAP, {}, f"GlobalLocalFilter: kernel_size {EVEN}"),
    ("Reparameterised", {"kernel_size": 4}, MAP, {}, f"Reparameterised: kernel_size {EVEN}"),
    ("Reparameterised", {"branches": [4]}, MAP, {}, f"Reparameterised: branches {EVEN}"),
    ("SubPixel", {"kernel_size": 4}, MAP, {}, f"SubPixel: kernel_size {EVEN}"),
    ("Separable", {"conv": {"is": "Convolution", "kernel_size": 4}}, MAP, {},
     f"Convolution: kernel_size {EVEN}"),
    ("DilatedReparam", {"kernel_size": 8}, MAP, {},
     "DilatedReparam: no branches are known beside kernel_size 8; give 7 or 9"),
    ("DilatedReparam", {"kernel_size": 3}, MAP, {},
     "DilatedReparam: no branches are known beside kernel_size 3; give 5"),
    ("LargeKernelAttention", {"kernel_size": 22}, MAP, {},
     "LargeKernelAttention: kernel_size 22 with dilation 3 has 8 dilated taps, an even number; 21"
     " or 27 keep the size"),
    ("VisualAttention", {"conv": {"is": "LargeKernelAttention", "kernel_size": 4}}, MAP, {},
     "LargeKernelAttention: kernel_size 4 with dilation 3 has 2 dilated taps, an even number; 3 or"
     " 9 keep the size"),
    ("Reparameterised", {"kernel_size": 3, "branches": [5]}, MAP, {},
     "Reparameterised: a branch of kernel_size 5 does not fit into 3; give at most 3"),
    ("DCLS", {"kernel_size": 7, "taps": 50}, MAP, {},
     "DCLS: 50 taps are more than a kernel_size of 7 has positions; at most 49 fit"),
    ("DCLS", {"kernel_size": [3, 5], "taps": 16}, MAP, {},
     "DCLS: 16 taps are more than a kernel_size of (3, 5) has positions; at most 15 fit"),
    ("DCLS", {"kernel_size": 3, "taps": 4}, LINE, {}, "at most 3 fit"),
    ("DCLS", {"kernel_size": 3, "taps": 28}, CLIP, {}, "at most 27 fit"),
    ("WeightedConvolution", {"kernel_size": [3, 5]}, MAP, {},
     "WeightedConvolution: kernel_size (3, 5) is not one number for all dimensions; 5 would be"),
    ("WeightedConvolution", {"kernel_size": []}, MAP, {}, "kernel_size () is not one number"),
    ("WeightedConvolution", {"kernel_size": 3, "density": [0.9, 0.8]}, MAP, {},
     "WeightedConvolution: 2 densities for a kernel_size of 3; give 1, or none for ones"),
]  # fmt: skip

LARGER_THAN_THE_MAP: list[Row] = [
    (variant, {"padding": pad, "kernel_size": kernel, "dilation": dilation}, MAP, {},
     f"{variant}: kernel_size {kernel} with dilation {dilation} spans {span}, more than a map of"
     f" 64x14x14 with padding {pad}; at most {14 + 2 * pad} fit")
    for variant in ("Convolution", "DCLS", "WeightedConvolution")
    for kernel, dilation, pad, span in ((15, 1, 0, 15), (7, 3, 2, 19))
]  # fmt: skip

GROUPS: list[Row] = [
    row
    for variant in ("Convolution", "DCLS", "WeightedConvolution")
    for row in (
        (variant, {"kernel_size": 7, "group_size": 5}, MAP, {},
         f"{variant}: 64 channels do not split evenly by group_size 5; 4 or 8 would"),
        (variant, {"kernel_size": 7, "groups": 128}, MAP, {},
         f"{variant}: 64 channels do not split evenly by groups 128; 64 would"),
        (variant, {"kernel_size": 7, "group_size": 16}, MAP, {"width": 66},
         f"{variant}: 66 output channels do not split into 4 groups; give a multiple of 4"),
        (variant, {"kernel_size": 7, "groups": 8, "group_size": 8}, MAP, {},
         f"{variant}: give groups or group_size, not both"),
    )
] + [
    ("Reparameterised", {"group_size": 5}, MAP, {},
     "64 channels do not split evenly by group_size 5; 4 or 8 would"),
    ("DilatedReparam", {}, MAP, {"width": 66}, "66 output channels do not split into 64 groups"),
    ("Separable", {"conv": {"is": "Convolution", "kernel_size": 3, "group_size": 5}}, MAP, {},
     "Convolution: 64 channels do not split evenly by group_size 5; 4 or 8 would"),
    ("LSConvolution", {"groups": 7}, MAP, {},
     "LSConvolution: 64 channels do not split by 7 groups; 4 or 8 would"),
    ("OffsetAttention", {"heads": 3}, MAP, {},
     "OffsetAttention: 64 channels do not split into 3 heads; 2 or 4 would"),
]  # fmt: skip

DIMENSIONS: list[Row] = [
    ("Convolution", {"kernel_size": [3, 3, 3]}, MAP, {},
     "Convolution: kernel_size (3, 3, 3) does not fit 2 spatial dimensions: give one number, or"
     " one per dimension"),
    ("Convolution", {"kernel_size": []}, MAP, {}, "kernel_size () does not fit 2 spatial"),
    ("DCLS", {"kernel_size": [7]}, MAP, {}, "DCLS: kernel_size (7,) does not fit 2 spatial"),
    ("Convolution", {"kernel_size": 3, "padding": [1]}, MAP, {},
     "Convolution: padding (1,) does not fit 2 spatial"),
    ("Convolution", {"kernel_size": 3}, MAP, {"stride": [1, 2, 2]},
     "Convolution: stride (1, 2, 2) does not fit 2 spatial"),
    ("Separable", {}, MAP, {"stride": [2]}, "Convolution: stride (2,) does not fit 2 spatial"),
    ("LSConvolution", {"large_kernel_size": [7]}, MAP, {}, "kernel_size (7,) does not fit 2"),
    ("OffsetAttention", {"query_kernel_size": [3]}, MAP, {}, "kernel_size (3,) does not fit 2"),
    ("GlobalLocalFilter", {"kernel_size": [3]}, MAP, {}, "kernel_size (3,) does not fit 2"),
    ("InceptionDepthwise", {}, CLIP, {}, "InceptionDepthwise needs 2 spatial dimensions, not 3"),
    ("InceptionDepthwise", {}, LINE, {}, "InceptionDepthwise needs 2 spatial dimensions, not 1"),
    ("SubPixel", {}, CLIP, {}, "SubPixel needs 2 spatial dimensions, not 3"),
    ("SubPixel", {}, LINE, {}, "SubPixel needs 2 spatial dimensions, not 1"),
    ("Pseudo3d", {}, MAP, {},
     "Pseudo3d needs time, height and width, not 64x14x14; a map without time takes Convolution"),
    ("Factorised", {}, MAP, {},
     "Factorised needs time, height and width, not 64x14x14; a map without time takes Convolution"),
    ("Pseudo3d", {}, CLIP, {"stride": [1, 2]}, "Pseudo3d: stride (1, 2) does not fit 3 spatial"),
    ("Factorised", {}, CLIP, {"stride": [1, 2]}, "Factorised: stride (1, 2) does not fit 3"),
]  # fmt: skip

KEEPING = (
    "FFNifiedAttention", "GlobalLocalFilter", "InceptionDepthwise", "LSConvolution",
    "LargeKernelAttention", "OffsetAttention", "RecursiveGated", "VisualAttention",
)  # fmt: skip

WIDTHS_AND_STRIDES: list[Row] = [
    *[(name, {}, MAP, {"width": 128}, "keeps its 64 channels and cannot give 128: give it 64, or"
       " a 1x1 behind it") for name in KEEPING],
    *[(name, {}, MAP, {"stride": 2}, "has no stride 2: only 1; downsample before it")
      for name in (*KEEPING, "AtrousPyramid", "SubPixel")],
    ("Reparameterised", {"identity": True}, MAP, {"width": 128},
     "Reparameterised keeps its 64 channels and cannot give 128"),
    ("Reparameterised", {"identity": True}, MAP, {"stride": 2},
     "Reparameterised has no stride 2: only 1"),
    ("Separable", {"conv": {"is": "InceptionDepthwise"}}, MAP, {"stride": 2},
     "InceptionDepthwise has no stride 2: only 1"),
    ("InceptionDepthwise", {}, (60, 14, 14), {},
     "InceptionDepthwise: 1/8 of 60 channels is not a whole number; 56 or 64 channels do"),
    ("RecursiveGated", {}, (24, 14, 14), {},
     "RecursiveGated: order 5 halves 24 channels 4 times; give a multiple of 16"),
    ("GlobalLocalFilter", {}, (63, 14, 14), {},
     "GlobalLocalFilter: 63 channels have no halves; give a multiple of 2"),
    ("LSConvolution", {"groups": 7}, (63, 14, 14), {},
     "LSConvolution: 63 channels have no half; give a multiple of 2"),
    ("Factorised", {"expansion": "9/4"}, (6, 8, 14, 14), {}, "9/4 of 6 channels is not a whole"),
    ("FFNifiedAttention", {"conv": {"is": "Convolution", "kernel_size": 3, "stride": 2}}, MAP, {},
     "FFNifiedAttention: its conv makes 64x4x4 of 64x14x14; give one that keeps the size"),
    ("VisualAttention", {"conv": {"is": "SubPixel"}}, MAP, {},
     "branches of size 64x28x28 and 64x14x14 do not meet"),
]  # fmt: skip

OTHER_FIELDS: list[Row] = [
    ("InceptionDepthwise", {"branch_ratio": "1/3"}, MAP, {},
     "InceptionDepthwise: three branches of branch_ratio 1/3 leave no channels for the identity;"
     " give less than 1/3"),
    ("Reparameterised", {"identity_norm": True}, MAP, {},
     "Reparameterised: identity_norm without identity; give identity=true too"),
    ("Factorised", {"middle": 4, "expansion": "9/4"}, CLIP, {},
     "Factorised: give middle or expansion, not both"),
    ("RecursiveGated", {"order": 10**6}, MAP, {},
     "RecursiveGated: order 1000000 halves the channels more often than any width allows; give at"
     " most 25"),
    ("WeightedConvolution", {"density": [0.0]}, MAP, {},
     "WeightedConvolution: a density of 0.0 is not above zero; 1.0 leaves a ring alone"),
    ("AtrousPyramid", {"dropout": 1.0}, MAP, {}, "Dropout: p 1.0 is no probability below 1"),
    ("RecursiveGated", {"conv": {"is": "ReLU"}}, MAP, {}, "ReLU has no bias: it cannot stand here"),
    ("Separable", {"conv": {"is": "ReLU"}}, MAP, {}, "ReLU has no out_channels: it cannot stand"),
]  # fmt: skip

ROWS = KERNEL_SIZES + LARGER_THAN_THE_MAP + GROUPS + DIMENSIONS + WIDTHS_AND_STRIDES + OTHER_FIELDS


def known(name: str) -> type[Spatial]:
    return {**Operator.known, **CompositeConvolution.known}[name]


def document(variant: str, settings: dict[str, Any], x: tuple[int, ...], block: Any) -> str:
    """A file of one block around the convolution, which keeps the width unless told."""
    conv = {"is": variant} | settings
    around = {"is": "ConvNormAct", "width": x[0], "conv": conv} | block
    head = {"is": "Classifier", "classes": 10}
    stages = [[{"block": around}]]
    return json.dumps({"format": 1, "input": x, "stem": None, "stages": stages, "head": head})


def described(value: Any) -> Any:
    """What a file says, as Python has it."""
    if isinstance(value, dict):
        inner = {name: described(v) for name, v in value.items() if name != "is"}
        return known(value["is"])(**inner)
    if isinstance(value, list):
        return tuple(value)
    return Fraction(value) if isinstance(value, str) and "/" in value else value


def place(conv: Spatial, x: tuple[int, ...]) -> Value:
    return Tracer()("conv", conv, Value("x", Shape(x[0], x[1:])))


@pytest.mark.parametrize(("variant", "settings", "x", "block", "words"), ROWS)
def test_file_is_refused(
    variant: str,
    settings: dict[str, Any],
    x: tuple[int, ...],
    block: dict[str, Any],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "architecture.json"
    path.write_text(document(variant, settings, x, block))
    line = refused(capsys, "show", str(path))
    assert line.startswith(f"{path}: stages"), line
    assert words in line


@pytest.mark.parametrize(("variant", "settings", "x", "block", "words"), ROWS)
def test_description_is_refused(
    variant: str, settings: dict[str, Any], x: tuple[int, ...], block: dict[str, Any], words: str
) -> None:
    asked = {"out_channels": block.get("width", x[0]), "stride": described(block.get("stride", 1))}
    with pytest.raises(IllegalArchitecture) as error:
        place(described({"is": variant} | settings).with_(**asked), x)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


# -- every variant, also those to come -------------------------------------------------------------
def counts() -> list[tuple[str, str]]:
    """Every field of every variant that counts something."""
    found = []
    for name, cls in {**Operator.known, **CompositeConvolution.known}.items():
        own = {f.name for f in fields(cls)}
        if "out_channels" in own and cls.__module__.startswith("archsearch."):
            hints = get_type_hints(cls)
            found += [(name, f) for f in sorted(own) if int in (hints[f], *get_args(hints[f]))]
    return found


@pytest.mark.parametrize(("variant", "field"), counts())
def test_counts_are_above_zero(variant: str, field: str) -> None:
    with pytest.raises(IllegalArchitecture, match=f"{field} of {variant} is -1; it must"):
        known(variant)(**{field: -1})
    if field != "padding":
        with pytest.raises(IllegalArchitecture, match=f"{field} of {variant} is 0; it must"):
            known(variant)(**{field: 0})


@pytest.mark.parametrize(("variant", "field"), counts())
def test_files_hold_no_negative_counts(
    variant: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "architecture.json"
    path.write_text(document(variant, {field: -1}, MAP, {}))
    line = refused(capsys, "show", str(path))
    named = f"stages[0][0].block.conv: {field} of {variant} is -1; it must be at least"
    assert named in line or f"conv.{field} is -1; it must be a list of integers" in line


def test_spaces_leave_out_shares_that_leave_no_identity() -> None:
    ratios = np.array([Fraction(1, 3), Fraction(1, 8), Fraction(2, 5)])
    with collecting() as collected:
        InceptionDepthwise(branch_ratio=ratios)
    assert np.all(collected.masks, axis=0).tolist() == [False, True, False]


# -- what stays legal ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("conv", "size"),
    [
        ({"is": "DilatedReparam", "kernel_size": 13}, (7, 7)),
        ({"is": "DCLS", "kernel_size": 17}, (7, 7)),
        ({"is": "Convolution", "kernel_size": 4, "padding": 1}, (6, 6)),
    ],
)
def test_padding_makes_room_for_kernels_larger_than_the_map(
    conv: dict[str, Any], size: tuple[int, ...]
) -> None:
    """As in UniRepLKNet (13 on 7 x 7) and ConvNeXt with DCLS (17 on 7 x 7)."""
    assert place(described(conv), (64, 7, 7)).shape == Shape(64, size)
