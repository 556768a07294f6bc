"""Attention of every position to the whole map, with a learned bias per offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..legality import Divisors, check
from ..operator import Axis, Call, Kind, Operator, Shape, Weight, Window
from ..poly import Number, equal

if TYPE_CHECKING:
    from torch import Tensor, nn


def _biased_attention() -> type[nn.Module]:
    import torch
    from torch import nn

    class BiasedAttention(nn.Module):
        """Multi-head attention over all positions of a map of ``size``.

        ``bias`` is added to the scores: one number per head and distance along each dimension.
        """

        def __init__(self, heads: int, size: tuple[int, ...]) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(heads, *size))
            self.positions = self.bias[0].numel()

        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            heads = self.bias.shape[0]
            shape = value.shape[0], heads, -1, value.shape[2:].numel()
            q, k, v = (t.reshape(shape) for t in (query, key, value))
            scores = (q * q.shape[2] ** -0.5).transpose(2, 3) @ k + self.pair_bias()
            y: Tensor = v @ scores.softmax(dim=3).transpose(2, 3)
            return y.reshape(value.shape)

        def pair_bias(self) -> Tensor:
            """The bias of every pair of positions: (heads, positions, positions)."""
            size = self.bias.shape[1:]
            along = [torch.arange(n, device=self.bias.device) for n in size]
            places = torch.cartesian_prod(*along).view(self.positions, -1)
            distances = (places[:, None] - places).abs()
            index = distances[..., 0]
            for dim in range(1, len(size)):
                index = index * size[dim] + distances[..., dim]
            pairs = self.bias.flatten(1).index_select(1, index.flatten())
            return pairs.view(-1, *index.shape)

    return BiasedAttention


@dataclass(frozen=True)
class BiasedAttention(Operator):
    """softmax(q k / sqrt(width of a head) + bias) v in ``heads`` heads, over all positions (Graham
    et al. 2021, LeViT, section 4.1.3).

    Inputs are feature maps of queries, keys and values. A value passes with one coefficient per
    position, so the fan-in is the positions of the map; queries and keys only make coefficients.
    The bias, one number per head and distance, fits maps of one size.
    """

    heads: int
    paper = "Graham et al. 2021 (LeViT)"
    channels = "each"
    input_conditioned = True
    fixed_resolution = True
    shift_equivariant = False
    stored = True
    coefficients = frozenset({0, 1})
    channel_order = "the products of queries and keys would count every channel twice"
    layer = staticmethod(_biased_attention)

    def shape(self, query: Shape, key: Shape, value: Shape) -> Shape:
        check(query.dimensions > 0, "BiasedAttention needs a map, not {}", query)
        check(
            query.size == key.size == value.size,
            "BiasedAttention: queries, keys and values are maps of {}, {} and {}, not of one size",
            query,
            key,
            value,
        )
        check(
            equal(query.channels, key.channels),
            "BiasedAttention: {} channels of queries and {} of keys do not meet",
            query.channels,
            key.channels,
        )
        for x in (query, value):
            check(
                x.channels % self.heads == 0,
                "BiasedAttention: {} channels do not split into {} heads; {} would",
                x.channels,
                self.heads,
                Divisors(x.channels, self.heads),
            )
        return value

    def weights(self, query: Shape, key: Shape, value: Shape) -> dict[str, Weight]:
        distances = (Axis(Kind.TAP, n) for n in query.size)
        return {"bias": Weight((Axis(Kind.OUT, self.heads), *distances), summed=False)}

    def module(self, query: Shape, key: Shape, value: Shape) -> Call:
        return Call("BiasedAttention", (self.heads, query.size))

    def forward(self, query: Shape, key: Shape, value: Shape) -> str:
        return "{module}({0}, {1}, {2})"

    def macs(self, *x: Shape) -> Number:
        """Scores of all pairs of positions, and the sums of values that they weigh."""
        query, _, value = x
        return query.positions**2 * (query.channels + value.channels)

    def fan_in(self, *x: Shape) -> Number:
        return x[0].positions

    def window(self, query: Shape, key: Shape, value: Shape) -> Window:
        return Window(max(query.size))
