"""EMOv2-like networks: one block for attention and MLP, windows near and spread over the map.

Kernel size 5, windows of 7 and the expansions are EMOv2's at 5 million parameters and more; as
there, the last two stages attend. Open are the width and depth of every stage. Attention's fan-in
is the 49 positions of a window, so DeepMAD's entropy takes it for a 7x7 depthwise kernel: it is no
judge of where to attend, which is therefore not open.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual_mobile import InvertedResidualMobile, MobileStem
from archsearch.operators.activation import GELU, SiLU
from archsearch.operators.convolution import depthwise
from archsearch.operators.normalization import BatchNorm, LayerNorm
from archsearch.operators.window_attention import WindowAttention
from archsearch.space import SearchSpace, StageSpace, widths


def stage(
    low: int, high: int, step: int, most: int, expansion: int, attends: bool = False
) -> StageSpace:
    block = InvertedResidualMobile(
        widths(low, high, step),
        expansion=expansion,
        conv=depthwise(5),
        attention=WindowAttention(head_width=32) if attends else None,
        norm=LayerNorm() if attends else BatchNorm(eps=1e-6),
        activation=GELU() if attends else SiLU(),
    )
    return StageSpace(block, tuple(range(2, most + 1)), stride=2)


space = SearchSpace(
    name="emo",
    stem=MobileStem(widths(16, 32)),
    stages=(
        stage(32, 96, 8, 5, expansion=2),
        stage(48, 160, 8, 8, expansion=3),
        stage(128, 384, 32, 20, expansion=4, attends=True),
        stage(256, 512, 32, 7, expansion=4, attends=True),
    ),
    head=Classifier(norm=LayerNorm(), norm_first=True),
    macs_per_param=195,
    effectiveness=0.8,
    origin="EMOv2-5M to -50M: stem, kernels, windows, heads, expansions; widths and depths around",
)
