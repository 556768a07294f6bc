"""Mobile networks as MnasNet searched them: inverted residuals with the widths of EfficientNet-B0.

Every stage chooses its expansion, its kernel size, how many blocks it has and whether they squeeze
and excite. It is the space whose networks Accel-NASBench trained on ImageNet (Ahmad et al. 2024),
the squeezed width being a quarter of the block's input; those all end with 1280 channels. Narrower
last 1x1 convolutions are here so that small budgets have a network.
"""

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import SearchSpace, StageSpace, choice


def stage(width: int, stride: int, deepest: int = 3) -> StageSpace:
    block = InvertedResidual(
        width,
        expansion=choice(1, 4, 6),
        conv=depthwise(choice(3, 5)),
        squeeze_excitation=choice(None, SqueezeExcitation(activation=SiLU())),
        activation=SiLU(),
    )
    return StageSpace(block, tuple(range(1, deepest + 1)), stride)


space = SearchSpace(
    name="mobile",
    stem=ConvNormAct(32, 2, activation=SiLU()),
    stages=(
        stage(16, 1),
        stage(24, 2),
        stage(40, 2),
        stage(80, 2),
        stage(112, 1),
        stage(192, 2, deepest=4),
        stage(320, 1),
        StageSpace(ConvNormAct(choice(320, 640, 1280), conv=Convolution(), activation=SiLU())),
    ),
    head=Classifier(),
    nondecreasing=False,
    macs_per_param=90,
    effectiveness=0.65,
    objective="imagenet-mobile",
    origin="Tan et al., MnasNet, CVPR 2019; Tan & Le, EfficientNet, ICML 2019; Ahmad et al. 2024",
)
