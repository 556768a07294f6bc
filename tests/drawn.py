"""Architectures of every block family with drawn hyperparameters: for what must always hold."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st

from archsearch.architecture import Architecture, Run, Stage
from archsearch.block import Block
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block, NormDownsample, PatchStem
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.depthwise_separable import DepthwiseSeparable
from archsearch.blocks.fused_inverted_residual import FusedInvertedResidual
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.operator import IllegalArchitecture
from archsearch.operators.activation import GELU, Hardsigmoid, Hardswish, ReLU, ReLU6, SiLU
from archsearch.operators.convolution import Convolution
from archsearch.operators.normalization import GRN, BatchNorm, GroupNorm, LayerNorm
from archsearch.operators.pooling import AvgPool, MaxPool
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

activations = st.sampled_from([ReLU(), ReLU6(), SiLU(), GELU(), Hardswish()])
norms = st.sampled_from(
    [BatchNorm(), BatchNorm(eps=1e-3), LayerNorm(), GRN(), GRN(bias=False), GroupNorm(4)]
)
widths = st.integers(1, 4).map(lambda n: 16 * n)
ratios = st.sampled_from([1, 2, 3, Fraction(1, 2), Fraction(3, 2)])
depths = st.integers(1, 3)
dense = st.builds(
    Convolution, kernel_size=st.sampled_from([1, 3, 5]), dilation=st.sampled_from([1, 2])
)
"""Convolutions that fit any number of channels in and out."""
spatial = st.one_of(
    dense,
    st.builds(
        Convolution,
        kernel_size=st.sampled_from([3, 5, 7]),
        dilation=st.sampled_from([1, 2]),
        group_size=st.sampled_from([1, 4, 8]),
    ),
    st.builds(Convolution, kernel_size=st.just(3), groups=st.sampled_from([1, 2, 8])),
)
"""Convolutions that fit multiples of 8 channels, as many out as in."""
squeezes = st.one_of(
    st.none(),
    st.builds(
        SqueezeExcitation,
        ratio=st.sampled_from([Fraction(1, 4), Fraction(3, 8), 1]),
        activation=activations,
        gate=st.just(Hardsigmoid()),
        norm=st.none() | st.just(BatchNorm()),
        of_inner=st.booleans(),
        multiple=st.sampled_from([1, 8]),
    ),
)


@st.composite
def convolutional_stages(draw: st.DrawFn) -> Stage:
    """Stages whose first block may stride and project."""
    common = {"norm": norms, "activation": activations}
    family: st.SearchStrategy[Block] = st.one_of(
        st.builds(BasicBlock, widths, expansion=ratios, conv=dense, **common),
        st.builds(BasicBlock, widths, pointwise_entry=st.just(True), conv=dense),
        st.builds(
            Bottleneck,
            widths,
            expansion=ratios,
            conv=spatial,
            squeeze_excitation=squeezes,
            **common,
        ),
        st.builds(
            InvertedResidual,
            widths,
            expansion=ratios,
            conv=spatial,
            squeeze_excitation=squeezes,
            of_output=st.booleans(),
            final_activation=st.booleans(),
            **common,
        ),
        st.builds(
            FusedInvertedResidual,
            widths,
            expansion=ratios,
            conv=dense,
            squeeze_excitation=squeezes,
            **common,
        ),
    )
    stride = draw(st.sampled_from([1, 2]))
    return Stage.of(draw(family), draw(depths), stride=stride, projects=True)


@st.composite
def other_stages(draw: st.DrawFn) -> Stage:
    """Stages of blocks without a projecting form, behind the block that sets their width."""
    width = draw(widths)
    kind = draw(st.sampled_from(["plain", "separable", "convnext", "dense"]))
    if kind == "plain":
        norm, pool = draw(st.none() | norms), draw(st.sampled_from([None, MaxPool(), AvgPool()]))
        block = ConvNormAct(width, 1, draw(dense), norm, draw(st.none() | activations))
        return Stage((Run(block, draw(depths)), Run(ConvNormAct(width, norm=norm, pool=pool))))
    if kind == "separable":
        block = DepthwiseSeparable(width, conv=draw(spatial), activation=draw(activations))
        return Stage.of(block, draw(depths), stride=draw(st.sampled_from([1, 2])))
    if kind == "convnext":
        settings = {"expansion": draw(st.sampled_from([2, 4])), "conv": draw(spatial)}
        scale = draw(st.sampled_from([None, 1e-6, 1.0]))
        v1 = ConvNeXtBlock(width, layer_scale=scale, **settings)
        block = draw(st.sampled_from([v1, ConvNeXtV2Block(width, **settings)]))
        return Stage((Run(NormDownsample(width)), Run(block, draw(depths))))
    layer = DenseLayer(draw(st.sampled_from([8, 16])), draw(st.sampled_from([2, 4])), draw(dense))
    return Stage((Run(layer, draw(depths)), Run(DenseTransition(width))))


stems = st.one_of(
    st.none(),
    st.builds(ConvNormAct, widths, st.sampled_from([1, 2]), dense, activation=activations),
    st.builds(ConvNormAct, widths, st.just(2), pool=st.just(MaxPool(3, 2, padding=1))),
    st.builds(PatchStem, widths, st.sampled_from([2, 4])),
)
heads = st.one_of(
    st.builds(
        Classifier,
        st.sampled_from([2, 10, 1000]),
        st.lists(st.sampled_from([8, 24]), max_size=2).map(tuple),
        activation=activations,
        norm=st.none() | st.just(LayerNorm()),
        pre_norm=st.booleans(),
    ),
    st.builds(Classifier, st.just(10), pool=st.just(False)),
)


@st.composite
def architectures(draw: st.DrawFn, dimensions: int | None = None) -> Architecture:
    """Legal architectures on images, or inputs of 1 to 3 ``dimensions``, of 16 to 40 positions."""
    count = dimensions or draw(st.integers(1, 3))
    sizes = st.integers(16, 40) if count < 3 else st.integers(16, 20)
    input_ = (draw(st.sampled_from([1, 3])), *(draw(sizes) for _ in range(count)))
    stages = draw(st.lists(convolutional_stages() | other_stages(), min_size=1, max_size=3))
    architecture = Architecture(draw(stems), tuple(stages), draw(heads), input_)
    assume(is_legal(architecture))  # without a stem, 3 channels rarely fit a group size or ratio
    return architecture


def is_legal(architecture: Architecture) -> bool:
    try:
        architecture.trace()
    except IllegalArchitecture:
        return False
    return True
