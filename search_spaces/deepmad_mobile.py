"""The mobile space of the released DeepMAD code: inverted residuals with squeeze-and-excitation.

Inner widths are multiples of 8 from 1.5 to 6 times the output width; kernels 3, 5 and 7. Its score
drives kernels to 7 and inner widths to 1.5 (docs/spaces.md): this space exists to compare with the
released search, ``mobile`` to design networks.
"""

from fractions import Fraction

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.models.deepmad import SQUEEZE
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.space import InnerWidths, SearchSpace, StageSpace, choice, widths

block = InvertedResidual(
    widths(8, 1280),
    expansion=InnerWidths(8, Fraction(3, 2), 6),
    conv=depthwise(choice(3, 5, 7)),
    squeeze_excitation=SQUEEZE,
    activation=SiLU(),
    of_output=True,
    final_activation=True,
)

space = SearchSpace(
    name="deepmad-mobile",
    stem=ConvNormAct(widths(16, 32), 2),
    stages=(
        *(
            StageSpace(block, tuple(range(1, most + 1)), stride)
            for most, stride in ((3, 2), (30, 2), (30, 2), (30, 1), (30, 2))
        ),
        StageSpace(ConvNormAct(1280, conv=Convolution())),
    ),
    head=Classifier(),
    macs_per_param=120,
    effectiveness=0.5,
    origin="alibaba/lightweight-neural-architecture-search at 8ccaf88, space_k1dwsek1",
)
