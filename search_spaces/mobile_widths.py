"""Mobile networks: inverted residuals with squeeze-and-excitation, 1 to 10 million parameters.

DeepMAD's entropy counts a depthwise kernel as nearly free and an expansion as a cost only, so
left open it always takes the largest kernel and the smallest expansion (docs/spaces.md shows it).
Both are therefore fixed to what published networks of this budget use: the kernel sizes and the
expansion of EfficientNet-B0, at least two blocks per strided stage, a final 1x1 convolution of at
most 1280. What is open is where the budget goes:
width and depth of every stage.
"""

from fractions import Fraction

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import SearchSpace, StageSpace, choice, widths


def stage(
    low: int, high: int, depth: tuple[int, ...], kernel_size: int, stride: int, expansion: int = 6
) -> StageSpace:
    block = InvertedResidual(
        widths(low, high),
        expansion=expansion,
        conv=depthwise(kernel_size),
        squeeze_excitation=SqueezeExcitation(Fraction(1, 4), activation=SiLU()),
        activation=SiLU(),
    )
    return StageSpace(block, depth, stride)


space = SearchSpace(
    name="mobile-widths",
    stem=ConvNormAct(widths(16, 32), 2, activation=SiLU()),
    stages=(
        stage(16, 32, (1, 2), 3, 1, expansion=1),
        stage(16, 48, (2, 3, 4), 3, 2),
        stage(24, 80, (2, 3, 4, 5), 5, 2),
        stage(48, 144, (2, 3, 4, 5, 6), 3, 2),
        stage(64, 192, (2, 3, 4, 5, 6), 5, 1),
        stage(96, 320, (2, 3, 4, 5, 6), 5, 2),
        StageSpace(ConvNormAct(choice(640, 960, 1280), conv=Convolution(), activation=SiLU())),
    ),
    head=Classifier(),
    macs_per_param=90,
    effectiveness=0.65,
    origin="kernel sizes and expansion of EfficientNet-B0; widths and depths around it",
)
