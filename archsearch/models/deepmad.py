"""DeepMAD-R18 and DeepMAD-R34 (Shen et al. 2023), and the reading of all released structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from ..architecture import Architecture, Stage
from ..blocks.basic import BasicBlock
from ..blocks.bottleneck import Bottleneck
from ..blocks.classifier import Classifier
from ..blocks.inverted_residual import InvertedResidual
from ..blocks.plain import ConvNormAct
from ..operators.activation import ReLU, SiLU
from ..operators.convolution import Convolution, depthwise
from ..operators.normalization import BatchNorm
from ..recipes.squeeze_excitation import SqueezeExcitation

SQUEEZE = SqueezeExcitation(Fraction(1, 4), SiLU(), norm=BatchNorm(), of_inner=True, multiple=8)


def from_released(rows: Iterable[Mapping[str, Any]], resolution: int = 224) -> Architecture:
    """The network of a structure as the authors' repository stores it: a list of super-blocks with
    "class", "in", "out", "k", "s" and, for residual ones, "btn" (inner width) and "L" (depth).

    All its residual kinds are read: K1KXK1 is ``Bottleneck``, K1DWK1 and K1DWSEK1 are
    ``InvertedResidual``, K1KX and KXKX are ``BasicBlock`` (of these two nothing is published).
    """
    first, *rest = rows
    stem = ConvNormAct(first["out"], first["s"], Convolution(kernel_size=first["k"]))
    stages = tuple(_stage(row) for row in rest)
    return Architecture(stem, stages, Classifier(), (3, resolution, resolution))


def _stage(row: Mapping[str, Any]) -> Stage:
    width, kernel_size, stride = row["out"], row["k"], row["s"]
    if row["class"] == "ConvKXBNRELU":
        conv = Convolution(kernel_size=kernel_size)
        return Stage.of(ConvNormAct(width, stride, conv, activation=ReLU()))
    expansion = Fraction(row["btn"], width)
    if row["class"] == "SuperResK1KXK1":
        conv = Convolution(kernel_size=kernel_size)
        block = Bottleneck(width, expansion=expansion, conv=conv)
        return Stage.of(block, row["L"], stride=stride, projects=True)
    if row["class"] in ("SuperResK1KX", "SuperResKXKX"):
        conv, pointwise = Convolution(kernel_size=kernel_size), row["class"] == "SuperResK1KX"
        basic = BasicBlock(width, expansion=expansion, conv=conv, pointwise_entry=pointwise)
        return Stage.of(basic, row["L"], stride=stride, projects=True)
    squeezed = row["class"] == "SuperResK1DWSEK1"
    inverted = InvertedResidual(
        width,
        expansion=expansion,
        conv=depthwise(kernel_size),
        squeeze_excitation=SQUEEZE if squeezed else None,
        activation=SiLU() if squeezed else ReLU(),
        of_output=True,
        final_activation=True,
    )
    changes = stride > 1 or row["in"] != width
    return Stage.of(inverted, row["L"], stride=stride, projects=changes)


def _bottlenecks(stem: int, rows: tuple[tuple[int, int, int, int, int], ...]) -> Architecture:
    """Super-blocks of bottlenecks: width, inner width, kernel size, depth, stride."""
    names = ("out", "btn", "k", "L", "s")
    blocks = [{"class": "SuperResK1KXK1"} | dict(zip(names, row, strict=True)) for row in rows]
    return from_released([{"class": "ConvKXBNRELU", "out": stem, "k": 3, "s": 2}, *blocks])


MODELS = {
    "deepmad_r18": lambda: _bottlenecks(32, (
        (96, 40, 5, 1, 2), (384, 40, 5, 6, 2), (384, 64, 5, 9, 2),
        (1024, 104, 3, 10, 1), (672, 104, 5, 12, 2),
    )),
    "deepmad_r34": lambda: _bottlenecks(24, (
        (128, 24, 5, 1, 2), (512, 48, 5, 10, 2), (896, 88, 5, 13, 2),
        (1024, 104, 5, 11, 1), (616, 128, 5, 14, 2),
    )),
}  # fmt: skip
