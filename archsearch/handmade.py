"""Networks as a practitioner would write them by hand, each the widest of its kind in a budget.

They are what designed and found networks are held against: same input, same budgets, same recipe.
All keep the resolution in the stem and halve it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from .architecture import Architecture, Stage
from .blocks.basic import BasicBlock
from .blocks.classifier import Classifier
from .blocks.inverted_residual import InvertedResidual
from .blocks.plain import ConvNormAct
from .budget import Budget
from .cost import cost
from .errors import UserError
from .operators.convolution import Convolution
from .operators.pooling import MaxPool

Shape = tuple[int, ...]
Widths = tuple[int, ...]

STEPS = 64
"""Widths are published ones times n/64, rounded: fine enough to spend a budget to a few percent."""


def plain(budgets: Sequence[Budget], input: Shape, classes: int) -> Architecture:
    """VGG in small: two 3x3 convolutions to a stage, the width doubled where the map is halved."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(ConvNormAct(width), 2, stride=min(i + 1, 2)) for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("plain", of_widths, (64, 128, 256), budgets)


def resnet(budgets: Sequence[Budget], input: Shape, classes: int) -> Architecture:
    """ResNet for CIFAR (He et al. 2016, section 4.2) in its smallest form, one block a stage."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(BasicBlock(width), stride=min(i + 1, 2), projects=i > 0)
            for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("resnet", of_widths, (16, 32, 64), budgets)


def lenet(budgets: Sequence[Budget], input: Shape, classes: int) -> Architecture:
    """LeNet-5 (LeCun et al. 1998) with its proportions 6, 16, 120, 84, but with batch norm, ReLU
    and max pooling, without which it would lose by its age alone."""

    def of_widths(widths: Widths) -> Architecture:
        first, second, *hidden = widths
        conv = Convolution(kernel_size=5)
        stem = ConvNormAct(first, conv=conv, pool=MaxPool())
        body = Stage.of(ConvNormAct(second, conv=conv, pool=MaxPool()))
        head = Classifier(classes, hidden=tuple(hidden), pool=False)
        return Architecture(stem, (body,), head, input)

    return widest("lenet", of_widths, (6, 16, 120, 84), budgets)


def mobilenet(budgets: Sequence[Budget], input: Shape, classes: int) -> Architecture:
    """MobileNetV2 (Sandler et al. 2018) in small: inverted residuals of expansion 6, two to a
    stage, with the widths of its first three stages."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(InvertedResidual(width), 2, stride=min(i + 1, 2), projects=i > 0)
            for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("mobilenet", of_widths, (16, 24, 32), budgets)


HANDMADE = {"plain": plain, "resnet": resnet, "lenet": lenet, "mobilenet": mobilenet}
"""A network of each kind by its name: ``HANDMADE["resnet"](budgets, input, classes)``."""


def widest(
    name: str,
    of_widths: Callable[[Widths], Architecture],
    published: Widths,
    budgets: Sequence[Budget],
) -> Architecture:
    """The family's member within ``budgets`` whose widths are the largest multiple of the published
    ones, or the published one itself where nothing limits it; budgets on devices are left out, as
    these know no such network. Raises ``UserError`` where not even one channel everywhere fits."""
    limits = [budget for budget in budgets if not budget.device]
    if not limits:
        return of_widths(published)
    fits = None
    for n in count(1):
        network = of_widths(tuple(max(1, round(width * n / STEPS)) for width in published))
        spent = cost(network)
        over = next((b for b in limits if not b.allows(getattr(spent, b.cost))), None)
        if over is not None:
            break
        fits = network
    if fits is None:
        assert over is not None
        needed = getattr(spent, over.cost)
        raise UserError(f"no {name} network is within {over}: the smallest needs {needed:,}")
    return fits
