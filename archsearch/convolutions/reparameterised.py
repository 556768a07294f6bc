"""Re-parameterised convolutions: several kernels while training, one of them all when deployed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..graph import Tracer, Value
from ..legality import IllegalArchitecture, check, check_odd
from ..operators.convolution import Convolution
from ..operators.merge import Add
from ..operators.normalization import BatchNorm
from ..poly import concrete
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class Reparameterised(CompositeConvolution):
    """The sum of a k x k convolution and smaller ones, each with batch norm, and of the input where
    ``identity`` says so; without branches it is a convolution with batch norm. Its deployed form is
    one convolution of ``kernel_size`` with a bias.

    Fields: ``kernel_size`` and the sizes of the ``branches`` (odd, none larger), ``identity``
    (keeps channels and size), ``identity_norm`` (the identity has a batch norm too: RepVGG),
    ``group_size`` (1 is depthwise, None dense). RepVGG (Ding et al. 2021, section 3.2) is dense
    3 x 3, 1 x 1 and normed identity; FFNet's is depthwise 7 x 7 and 3 x 3; LSNet's depthwise
    3 x 3, 1 x 1 and identity. Fan-in: that of the largest kernel, which holds the others.
    """

    kernel_size: int = 7
    branches: tuple[int, ...] = (3,)
    identity: bool = False
    identity_norm: bool = False
    group_size: int | None = 1

    paper = "Ding et al. 2021 (RepVGG)"

    def check_fields(self) -> None:
        check_odd(self, "kernel_size", "branches")
        alone = "Reparameterised: identity_norm without identity; give identity=true too"
        check(self.identity or not self.identity_norm, alone)

    def expand(self, g: Tracer, x: Value) -> Value:
        largest = self.kernel_size
        for size in self.branches:
            wrong = (
                "Reparameterised: a branch of kernel_size {} does not fit into {}; give at most {}"
            )
            check(size <= largest, wrong, size, largest, largest)
        main = Convolution(self.out_channels, largest, self.stride, group_size=self.group_size)
        y = _normed_sum(g, x, main, [replace(main, kernel_size=size) for size in self.branches])
        if not self.identity:
            return y
        self.keep_channels(x)
        self.keep_size(x)
        identity = g("identity_norm", BatchNorm(), x) if self.identity_norm else x
        return g("add_identity", Add(), y, identity)


BRANCHES = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""Kernel size and dilation of the branches beside each large kernel, as released with the paper."""


@dataclass(frozen=True)
class DilatedReparam(CompositeConvolution):
    """A large depthwise kernel and, beside it, small dilated ones, each with batch norm, summed
    (Ding et al. 2024). A dilated kernel is a large one with zeros between its taps, so
    the deployed form is one depthwise convolution of ``kernel_size`` with a bias.

    ``kernel_size`` is one that branches were released for: odd, 5 to 17. Fan-in: that of the large
    kernel, which holds the others.
    """

    kernel_size: int = 13

    paper = "Ding et al. 2024 (UniRepLKNet)"

    def check_fields(self) -> None:
        size = self.kernel_size
        if type(size) is int and size not in BRANCHES:
            near = [*[k for k in BRANCHES if k < size][-1:], *[k for k in BRANCHES if k > size][:1]]
            raise IllegalArchitecture(
                f"DilatedReparam: no branches are known beside kernel_size {size};"
                f" give {' or '.join(map(str, near))}"
            )

    def expand(self, g: Tracer, x: Value) -> Value:
        size = concrete(self.kernel_size, "kernel_size of DilatedReparam")
        main = Convolution(self.out_channels, size, self.stride, group_size=1)
        branches = [replace(main, kernel_size=k, dilation=d) for k, d in BRANCHES[size]]
        return _normed_sum(g, x, main, branches)


def _normed_sum(g: Tracer, x: Value, main: Convolution, branches: Iterable[Convolution]) -> Value:
    """The sum of convolutions of one input, each with its own batch norm."""
    y = g("main_norm", BatchNorm(), g("main", main, x))
    for i, branch in enumerate(branches, 1):
        z = g(f"branch{i}_norm", BatchNorm(), g(f"branch{i}", branch, x))
        y = g(f"add{i}", Add(), y, z)
    return y
