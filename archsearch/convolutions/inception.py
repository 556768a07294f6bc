"""Inception depthwise convolution: a square, two bands and an identity, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..graph import Tracer, Value
from ..legality import check, check_odd
from ..operators.convolution import Convolution
from ..operators.merge import Concat, Split
from ..poly import Number, Ratio, scale
from ..spatial import CompositeConvolution


@dataclass(frozen=True)
class InceptionDepthwise(CompositeConvolution):
    """A large depthwise kernel taken apart, over some of the channels (Yu et al. 2024).

    All channels but three shares of ``branch_ratio`` pass unchanged; one share each goes through a
    square kernel, a horizontal and a vertical band, all depthwise with a bias. The ratio is below
    1/3 and gives a whole number of channels; the kernel sizes are odd. Two spatial dimensions;
    keeps channels and size. Fan-in: k² for the channels of the square, k for those of a band, none
    for the identity; the entropy is the mean of theirs over the channels.
    """

    square_kernel_size: int = 3
    band_kernel_size: int = 11
    branch_ratio: Ratio = Fraction(1, 8)

    paper = "Yu et al. 2024 (InceptionNeXt)"

    def check_fields(self) -> None:
        check_odd(self, "square_kernel_size", "band_kernel_size")
        check(
            3 * self.branch_ratio < 1,
            "InceptionDepthwise: three branches of branch_ratio {} leave no channels for the"
            " identity; give less than 1/3",
            self.branch_ratio,
        )

    def expand(self, g: Tracer, x: Value) -> Value:
        self.need_dimensions(x, 2)
        self.keep_channels(x)
        self.keep_size(x)
        # the width that a block asks for is known where the input's may not be chosen yet
        width = self.width(x)
        share = self._share(width)
        square, band = self.square_kernel_size, self.band_kernel_size
        kernels: dict[str, int | tuple[int, ...]] = {
            "square": square, "horizontal": (1, band), "vertical": (band, 1),
        }  # fmt: skip
        start = width - 3 * share
        branches = [g("identity", Split(0, start), x)]
        for name, kernel in kernels.items():
            part = g(f"{name}_part", Split(start, start + share), x)
            branches.append(g(name, Convolution(None, kernel, group_size=1, bias=True), part))
            start = start + share
        return g("concat", Concat(), *branches)

    def _share(self, width: Number) -> Number:
        """Channels of one branch."""
        multiple = self.branch_ratio.denominator
        below = width // multiple * multiple
        check(
            width % multiple == 0,
            "InceptionDepthwise: {} of {} channels is not a whole number; {} or {} channels do",
            self.branch_ratio,
            width,
            below,
            below + multiple,
        )
        return scale(width, self.branch_ratio)
