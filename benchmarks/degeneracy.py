"""What DeepMAD's entropy chooses where kernel sizes, expansions and convolutions are open.

    python benchmarks/degeneracy.py [--params 5000000] [--time-limit 60] [--only mobile-widths]

First ``mobile-widths``: as shipped, then with kernel sizes 3, 5, 7 open in every stage, then with
expansions 3, 4, 6 open, then both. Then ``anyconv``: all its convolutions at once, behind other
bounds on depth over width, and one convolution in all stages. MACs are each space's default, and
every program is solved with its proof. Last, what a block of each convolution buys.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import exp
from typing import Any

from measure import alone, print_table

from archsearch.block import Block
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.convnext import ConvNeXtBlock
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.large_kernel_attention import VisualAttention
from archsearch.convolutions.recursive_gated import RecursiveGated
from archsearch.convolutions.reparameterised import DilatedReparam
from archsearch.cost import scope_cost
from archsearch.design import Design, design
from archsearch.entropy import chain
from archsearch.graph import trace
from archsearch.loading import find_objective, find_space
from archsearch.objectives import Entropy
from archsearch.operator import Shape
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.report.stages import stage_rows
from archsearch.space import Choice, SearchSpace, StageSpace, choice
from archsearch.spatial import Spatial


def opened(kernels: bool, expansions: bool) -> SearchSpace:
    """The space of mobile widths with these choices open in all stages that expand."""
    space = find_space("mobile-widths")
    changes: dict[str, Any] = {}
    if kernels:
        changes["conv"] = depthwise(choice(3, 5, 7))
    if expansions:
        changes["expansion"] = choice(3, 4, 6)

    def stage(part: StageSpace) -> StageSpace:
        block = part.block
        expands = isinstance(block, InvertedResidual) and block.expansion != 1
        return replace(part, block=replace(block, **changes)) if expands else part

    return replace(space, stages=tuple(map(stage, space.stages)))


def mobile_answer(kernels: bool, expansions: bool, params: int, limit: float) -> list[str]:
    found = design(f"{params}-params", opened(kernels, expansions), time_limit=limit)
    stages = [
        f"{row.width}x{row.depth} k{row.kernel_text} e{row.expansion_text}"
        for row in stage_rows(found.best.architecture)
        if row.block == "InvertedResidual"
    ]
    return [f"{found.value:,.0f}", f"{found.gap:.1%}", ", ".join(stages[1:])]


def anyconv_convolutions() -> dict[str, Any]:
    """The alternatives of ``anyconv``, open as they are, by a name for each."""
    (alternatives,) = {block.conv for block in blocks(find_space("anyconv").stages[0])}
    return {in_words(conv): conv for conv in alternatives.values}


def blocks(part: StageSpace) -> tuple[Any, ...]:
    """The blocks a stage of ``anyconv`` chooses among."""
    assert isinstance(part.block, Choice)
    return part.block.values


def in_words(conv: Any) -> str:
    if type(conv) is not Convolution:
        return type(conv).__name__
    return {None: "dense", 1: "depthwise"}.get(conv.group_size, "grouped")


def with_convolution(conv: Any) -> SearchSpace:
    """``anyconv`` with one convolution for all blocks of all stages."""
    space = find_space("anyconv")
    stages = [
        replace(part, block=choice(*(replace(block, conv=conv) for block in blocks(part))))
        for part in space.stages
    ]
    return replace(space, stages=tuple(stages))


def anyconv_answer(name: str, bound: float | None, params: int, limit: float) -> list[str]:
    """The answer with the convolution of this name, or with all of them open and another bound on
    depth over width."""
    space = find_space("anyconv")
    if name:
        space = with_convolution(anyconv_convolutions()[name])
    if bound is not None:
        space = replace(space, effectiveness=bound)
    found = design(f"{params}-params", space, time_limit=limit)
    entropy = find_objective("deepmad")
    assert isinstance(entropy, Entropy)
    ratio = entropy.effectiveness(found.best.architecture)
    spent = f"{found.best.uses('params') / params:.0%}"
    return [
        f"{found.value:,.0f}",
        f"{found.gap:.1%}",
        f"{ratio:.2f}",
        spent,
        in_stages(found, named=not name),
    ]


def in_stages(found: Design, named: bool) -> str:
    """Stages of ``anyconv``, the strided convolution in front of each left out; with the names of
    their convolutions where those were open."""
    words = []
    for stage in found.best.architecture.stages:
        block: Any = stage.runs[-1].block
        depth = sum(r.repeats for r in stage.runs if type(r.block) is type(block))
        spatial = getattr(block.conv, "conv", block.conv)
        kernel = f" k{spatial.kernel_size}" if hasattr(spatial, "kernel_size") else ""
        name = f" {in_words(block.conv)}" if named else ""
        words.append(f"{block.kind.removesuffix('Block')} {block.width}x{depth}{name}{kernel}")
    return ", ".join(words)


WIDTH, SIZE = 192, (14, 14)
BOUGHT: Mapping[str, Spatial] = {
    "depthwise 3x3": depthwise(3),
    "depthwise 7x7": depthwise(7),
    "dense 3x3": Convolution(kernel_size=3),
    "dense 7x7": Convolution(kernel_size=7),
    "DCLS, 34 of 17x17": DCLS(group_size=1),
    "DilatedReparam 13x13": DilatedReparam(kernel_size=13),
    "VisualAttention 21x21": VisualAttention(),
    "RecursiveGated, order 5": RecursiveGated(order=5),
}


def bought(block: Block) -> list[str]:
    """Layers, sum of log fan-ins, geometric mean of the fan-ins, MACs and their ratio."""
    scope = trace(block, Shape(WIDTH, SIZE))
    own, macs = chain(scope), scope_cost(scope).macs / 1e6
    entropy = float(own.entropy)
    mean = exp(entropy / own.layers)
    return [
        str(own.layers),
        f"{entropy:.1f}",
        f"{mean:,.0f}",
        f"{macs:.1f}",
        f"{entropy / macs:.2f}",
    ]


def mobile_table(params: int, limit: float) -> None:
    rows = []
    for name, kernels, expansions in (
        ("as shipped", False, False),
        ("kernel sizes open", True, False),
        ("expansions open", False, True),
        ("both open", True, True),
    ):
        rows.append((name, *alone(mobile_answer, kernels, expansions, params, limit).result))
    header = ("mobile-widths", "value", "gap", "stages 1 to 5: width x depth, kernel, expansion")
    print_table("What the raw entropy chooses", header, rows)


def anyconv_table(params: int, limit: float) -> None:
    shipped = find_space("anyconv").effectiveness
    asked: list[tuple[str, str, float | None]] = [
        *((f"all, bound {bound:g}", "", bound) for bound in (0.3, shipped, 1.0)),
        *((name, name, None) for name in anyconv_convolutions()),
    ]
    rows = [
        (words, *alone(anyconv_answer, name, bound, params, limit).result)
        for words, name, bound in asked
    ]
    rows[3:] = sorted(rows[3:], key=lambda row: -int(row[1].replace(",", "")))
    header = (
        "anyconv",
        "value",
        "gap",
        "depth/width",
        "params",
        "stages: block, width x depth, convolution",
    )
    print_table("What the raw entropy chooses among convolutions", header, rows)


def bought_table() -> None:
    rows = []
    for name, conv in BOUGHT.items():
        narrow = Bottleneck(WIDTH, expansion=Fraction(1, 4), conv=conv)
        for block in (narrow, ConvNeXtBlock(WIDTH, conv=conv)):
            rows.append((type(block).__name__, name, *bought(block)))
    header = (
        "block",
        "convolution",
        "layers",
        "log fan-ins",
        "mean fan-in",
        "MMACs",
        "log per MMAC",
    )
    size = "x".join(map(str, SIZE))
    print_table(f"What one block buys ({WIDTH} channels, {size})", header, sorted(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--params", type=int, default=5_000_000)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument(
        "--only", choices=("mobile-widths", "anyconv"), help="one of the two spaces"
    )
    args = parser.parse_args()
    if args.only != "anyconv":
        mobile_table(args.params, args.time_limit)
    if args.only != "mobile-widths":
        anyconv_table(args.params, args.time_limit)
        bought_table()


if __name__ == "__main__":
    main()
