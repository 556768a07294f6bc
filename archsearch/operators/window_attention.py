"""Attention within windows of the map, near or spread over it, and the padding to whole windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..legality import Divisors
from ..operator import Call, Operator, Shape, Weight, Window, check
from ..poly import Number, concrete

if TYPE_CHECKING:
    from torch import Tensor, nn


def _window_attention() -> type[nn.Module]:
    from torch import nn

    class WindowAttention(nn.Module):
        """Multi-head attention among the positions of a window, ``window_size`` in each dimension.

        The windows are "close" (neighbouring positions), "remote" (positions in equal steps over
        the whole map), or "both", whose results are added.
        """

        def __init__(self, head_width: int, window_size: int, windows: str) -> None:
            super().__init__()
            self.head_width = head_width
            self.window_size = window_size
            self.windows = windows

        def forward(self, value: Tensor, query_key: Tensor) -> Tensor:
            if self.windows != "both":
                return self.attend(value, query_key, self.windows == "remote")
            close = self.attend(value, query_key, False)
            return close + self.attend(value, query_key, True)

        def attend(self, value: Tensor, query_key: Tensor, remote: bool) -> Tensor:
            """Means of the values in a window, weighted by how well the queries match the keys."""
            dimensions, heads = value.dim() - 2, query_key.shape[1] // (2 * self.head_width)
            # in each dimension a position is (window, place in it), or the other way round
            grid: list[int] = []
            for size in value.shape[2:]:
                split = (size // self.window_size, self.window_size)
                grid += reversed(split) if remote else split
            windows = range(3 + remote, 3 + 2 * dimensions, 2)
            places = range(4 - remote, 3 + 2 * dimensions, 2)
            order = (0, 1, *windows, *places, 2)

            def tokens(x: Tensor) -> Tensor:
                """(batch, heads, windows per dimension, places in a window, channels)"""
                x = x.reshape(x.shape[0], heads, -1, *grid).permute(order)
                return x.flatten(2 + dimensions, -2)

            query, key = (tokens(x) for x in query_key.chunk(2, dim=1))
            matches = query @ key.transpose(-2, -1) * self.head_width**-0.5
            y: Tensor = matches.softmax(dim=-1) @ tokens(value)
            y = y.reshape(*y.shape[:-2], *[self.window_size] * dimensions, y.shape[-1])
            return y.permute([order.index(axis) for axis in range(len(order))]).reshape(value.shape)

    return WindowAttention


@dataclass(frozen=True)
class WindowAttention(Operator):
    """Attention of heads of ``head_width`` channels among the positions of a window (Zhang et al.
    2023, section 3.2; both kinds of windows: Zhang et al. 2024).

    Inputs: values (a multiple of the heads), then queries and keys side by side (2C channels); the
    map must consist of whole windows (``PadToWindows``). ``windows`` are "close", of neighbours,
    "remote", of positions in equal steps over the whole map, or "both", which are added.

    It has no weights, so the fan-in is said here: an output number is a mean over the values of one
    window, ``window_size`` ^ dimensions of them. Both kinds of windows count as one, as branches
    that are added do. Queries and keys only make the coefficients of that mean. The windows stand
    still when the map shifts.
    """

    head_width: int = 32
    window_size: int = 7
    windows: Literal["close", "remote", "both"] = "both"
    paper = "Zhang et al. 2023 (EMO), 2024 (EMOv2)"
    channels = "joint"
    stored = True
    input_conditioned = True
    shift_equivariant = False
    coefficients = frozenset({1})
    channel_order = "heads keep their width, so they would hold copies of fewer channels"
    layer = staticmethod(_window_attention)

    def check_fields(self) -> None:
        kinds = ("close", "remote", "both")
        check(
            self.windows in kinds,
            "WindowAttention: windows are {!r}; {} are known",
            self.windows,
            ", ".join(kinds),
        )

    def shape(self, value: Shape, query_key: Shape) -> Shape:
        check(value.dimensions > 0, "WindowAttention needs a map, not {}", value)
        check(
            query_key.size == value.size,
            "WindowAttention: queries of {} do not meet values of {}; give both the same size",
            query_key,
            value,
        )
        window = concrete(self.window_size, "WindowAttention: window_size")
        check(
            all(n % window == 0 for n in value.size),
            "WindowAttention: window_size {} does not divide the map {}; pad it to {}",
            window,
            value,
            PadToWindows(window).shape(value),
        )
        check(
            query_key.channels % (2 * self.head_width) == 0,
            "WindowAttention: head_width {} does not divide the width of the keys, half of {}; {}"
            " would",
            self.head_width,
            query_key.channels,
            Divisors(query_key.channels // 2, self.head_width),
        )
        heads = query_key.channels // (2 * self.head_width)
        check(
            value.channels % heads == 0,
            "WindowAttention: {} channels of values do not split into {} heads; give a multiple"
            " of {}",
            value.channels,
            heads,
            heads,
        )
        return value

    def weights(self, value: Shape, query_key: Shape) -> dict[str, Weight]:
        return {}

    def module(self, value: Shape, query_key: Shape) -> Call:
        return Call("WindowAttention", (), vars(self))

    def forward(self, value: Shape, query_key: Shape) -> str:
        return "{module}({0}, {1})"

    def macs(self, *x: Shape) -> Number:
        """Every position with all of its window: queries times keys, then weights times values;
        twice for both kinds of windows."""
        value, query_key = x
        kinds = 2 if self.windows == "both" else 1
        pairs = value.positions * self.window_size**value.dimensions
        return kinds * pairs * (query_key.channels // 2 + value.channels)

    def fan_in(self, *x: Shape) -> Number:
        return self.window_size ** x[0].dimensions

    def window(self, value: Shape, query_key: Shape) -> Window:
        """One window from end to end; as windows stand still, layers behind may see a bit more."""
        if self.windows == "close":
            return Window(self.window_size)
        return Window(max((self.window_size - 1) * (n // self.window_size) + 1 for n in value.size))


def _pad_to_windows() -> type[nn.Module]:
    from torch import nn

    class PadToWindows(nn.Module):
        """Zeros after the last position of each dimension, up to a multiple of the window size."""

        def __init__(self, window_size: int) -> None:
            super().__init__()
            self.window_size = window_size

        def forward(self, x: Tensor) -> Tensor:
            pads = [side for n in reversed(x.shape[2:]) for side in (0, -n % self.window_size)]
            return nn.functional.pad(x, pads)

    return PadToWindows


@dataclass(frozen=True)
class PadToWindows(Operator):
    """Zeros after the last position of each dimension, up to a multiple of ``window_size``."""

    window_size: int = 7
    layer = staticmethod(_pad_to_windows)

    def shape(self, x: Shape) -> Shape:
        check(x.dimensions > 0, "PadToWindows needs a map, not {}", x)
        window = concrete(self.window_size, "PadToWindows: window_size")
        return Shape(x.channels, tuple(-(-n // window) * window for n in x.size))

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call("PadToWindows", (self.window_size,))


@dataclass(frozen=True)
class CropTo(Operator):
    """The first positions of each dimension, as many as the second input has."""

    def shape(self, x: Shape, like: Shape) -> Shape:
        check(
            x.dimensions == like.dimensions
            and all(n >= m for n, m in zip(x.size, like.size, strict=True)),
            "CropTo: a map of {} cannot be cropped to the size of {}; give one at least as large",
            x,
            like,
        )
        return Shape(x.channels, like.size)

    def weights(self, x: Shape, like: Shape) -> dict[str, Weight]:
        return {}

    def forward(self, x: Shape, like: Shape) -> str:
        ends = [f": {{1}}.shape[{axis}]" for axis in range(2, 2 + x.dimensions)]
        return f"{{0}}[:, :, {', '.join(ends)}]"

    def traffic(self, *x: Shape) -> Number:
        """Of the second input nothing but its size is read."""
        return x[0].numel + self.shape(*x).numel
