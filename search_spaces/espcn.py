"""Small super-resolution networks: plain convolutions at low resolution, then a sub-pixel one.

There is one resolution, so the score is one level's: how many layers, and how wide. Every weight
works at every position: a budget of parameters is one of MACs too. Stages may be narrower than the
stem, as ESPCN's 32 channels after 64.
"""

from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.super_resolution import SuperResolutionHead
from archsearch.convolutions.sub_pixel import SubPixel
from archsearch.operators.activation import Tanh
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, widths

space = SearchSpace(
    name="espcn",
    stem=ConvNormAct(widths(8, 128), conv=Convolution(kernel_size=5), norm=None, activation=Tanh()),
    stages=(
        StageSpace(ConvNormAct(widths(8, 128), norm=None, activation=Tanh()), tuple(range(1, 9))),
    ),
    head=SuperResolutionHead(conv=SubPixel(scale=3)),
    input=(1, 100, 100),
    nondecreasing=False,
    macs_per_param=49_950,
    effectiveness=0.02,
    origin="ESPCN's kernel sizes, activation and head; widths and depth around it",
)
