"""Networks as a practitioner would write them by hand, each the widest of its kind in a budget.

They are what designed networks are held against: same input, same number of parameters, same
recipe. All keep the resolution in the stem and halve it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.operators.convolution import Convolution
from archsearch.operators.pooling import MaxPool

Shape = tuple[int, ...]
Widths = tuple[int, ...]

STEPS = 64
"""Widths are published ones times n/64, rounded: fine enough to spend a budget to a few percent."""


def plain(params: int, input: Shape = (3, 32, 32), classes: int = 10) -> Architecture:
    """VGG in small: two 3x3 convolutions to a stage, the width doubled where the map is halved."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(ConvNormAct(width), 2, stride=min(i + 1, 2)) for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("plain", of_widths, (64, 128, 256), params)


def resnet(params: int, input: Shape = (3, 32, 32), classes: int = 10) -> Architecture:
    """ResNet for CIFAR (He et al. 2016, section 4.2) in its smallest form, one block a stage."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(BasicBlock(width), stride=min(i + 1, 2), projects=i > 0)
            for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("resnet", of_widths, (16, 32, 64), params)


def lenet(params: int, input: Shape = (3, 32, 32), classes: int = 10) -> Architecture:
    """LeNet-5 (LeCun et al. 1998) with its proportions 6, 16, 120, 84, but with batch norm, ReLU
    and max pooling, without which it would lose by its age alone."""

    def of_widths(widths: Widths) -> Architecture:
        first, second, *hidden = widths
        conv = Convolution(kernel_size=5)
        stem = ConvNormAct(first, conv=conv, pool=MaxPool())
        body = Stage.of(ConvNormAct(second, conv=conv, pool=MaxPool()))
        head = Classifier(classes, hidden=tuple(hidden), pool=False)
        return Architecture(stem, (body,), head, input)

    return widest("lenet", of_widths, (6, 16, 120, 84), params)


def mobilenet(params: int, input: Shape = (3, 32, 32), classes: int = 10) -> Architecture:
    """MobileNetV2 (Sandler et al. 2018) in small: inverted residuals of expansion 6, two to a
    stage, with the widths of its first three stages."""

    def of_widths(widths: Widths) -> Architecture:
        stages = tuple(
            Stage.of(InvertedResidual(width), 2, stride=min(i + 1, 2), projects=i > 0)
            for i, width in enumerate(widths)
        )
        return Architecture(ConvNormAct(widths[0]), stages, Classifier(classes), input)

    return widest("mobilenet", of_widths, (16, 24, 32), params)


BASELINES = {"plain": plain, "resnet": resnet, "lenet": lenet, "mobilenet": mobilenet}


def widest(
    name: str, of_widths: Callable[[Widths], Architecture], published: Widths, params: int
) -> Architecture:
    """The family's member of at most ``params`` parameters whose widths are the largest multiple
    of the published ones. Raises ``UserError`` where not even one channel everywhere fits."""
    fits = None
    for n in count(1):
        network = of_widths(tuple(max(1, round(width * n / STEPS)) for width in published))
        needed = cost(network).params
        if needed > params:
            break
        fits = network
    if fits is None:
        raise UserError(f"no {name} network has {params} parameters: the smallest has {needed}")
    return fits
