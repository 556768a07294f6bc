"""What fits the ``conv`` field of a block: an operator, or a convolution made of several operators.

A block says ``self.conv.with_(out_channels=..., stride=...)`` and places the result under a name;
it does not know which of the two it has. The variants are in ``convolutions/``, one file each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from .graph import Recipe, Value
from .legality import IllegalArchitecture, check
from .operator import Operator
from .poly import Number, equal


@dataclass(frozen=True)
class CompositeConvolution(Recipe):
    """A spatial convolution made of operators. A subclass is a frozen dataclass with an ``expand``;
    all its fields have defaults.

    ``out_channels`` of None keeps the input's. A variant that cannot change channels or step over
    positions says so by ``keep_channels`` and ``keep_size``.
    """

    out_channels: int | None = None
    stride: int | tuple[int, ...] = 1

    paper: ClassVar[str] = ""
    """Where it comes from: authors and year."""
    known: ClassVar[dict[str, type[CompositeConvolution]]] = {}

    def __init_subclass__(cls) -> None:
        namesake = CompositeConvolution.known.get(cls.__name__, cls)
        if namesake.__module__ != cls.__module__ or cls.__name__ in Operator.known:
            raise TypeError(f"two convolutions are named {cls.__name__}")
        CompositeConvolution.known[cls.__name__] = cls

    def with_(self, **settings: Any) -> CompositeConvolution:
        """The same convolution with other settings.

        A ``bias`` is dropped where the variant has no such field: what stands last in it decides.
        Raises ``IllegalArchitecture`` for another field that it has not.
        """
        fields = self.__dataclass_fields__
        if "bias" in settings and "bias" not in fields:
            del settings["bias"]
        for name in settings:
            if name not in fields:
                raise IllegalArchitecture(
                    f"{type(self).__name__} has no {name}: it cannot stand here"
                )
        return type(self)(**(vars(self) | settings))

    def width(self, x: Value) -> Number:
        """Output channels for this input."""
        return x.shape.channels if self.out_channels is None else self.out_channels

    def keep_channels(self, x: Value) -> None:
        """Raise ``IllegalArchitecture`` where other channels than the input's are asked for."""
        channels, width = x.shape.channels, self.width(x)
        check(
            equal(channels, width),
            "{0} keeps its {1} channels and cannot give {2}: give it {1}, or a 1x1 behind it",
            type(self).__name__,
            channels,
            width,
        )

    def keep_size(self, x: Value) -> None:
        """Raise ``IllegalArchitecture`` where a stride is asked for."""
        check(
            self.stride in (1, (1,) * x.shape.dimensions),
            "{} has no stride {}: only 1; downsample before it",
            type(self).__name__,
            self.stride,
        )

    def need_dimensions(self, x: Value, *allowed: int) -> None:
        """Raise ``IllegalArchitecture`` unless the input has so many spatial dimensions."""
        check(
            x.shape.dimensions in allowed,
            "{} needs {} spatial dimensions, not {} ({})",
            type(self).__name__,
            " or ".join(map(str, allowed)),
            x.shape.dimensions,
            x.shape,
        )


Spatial: TypeAlias = Operator | CompositeConvolution
"""What a block's ``conv`` field takes."""
