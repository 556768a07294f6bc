"""What an operator is: its output shape, its weights with labelled axes, one line of PyTorch.

Everything else (parameters, MACs, activations, fan-in, module, exported source, supernet slice,
growth, polynomial) is derived from these three and written once, here or in the room that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from inspect import signature
from math import prod
from typing import Any, ClassVar, NamedTuple

from .legality import IllegalArchitecture as IllegalArchitecture
from .legality import check as check
from .legality import check_counts, is_open
from .poly import Number


class Kind(Enum):
    """What an axis of a weight ranges over; slicing, growing and pruning follow these labels."""

    OUT = "output channels"
    IN = "input channels"
    GROUP = "input channels of one group"
    TAP = "kernel positions"


class Axis(NamedTuple):
    kind: Kind
    size: Number


@dataclass(frozen=True)
class Weight:
    """A tensor an operator holds: its axes, whether it is trained or tracked (a buffer), and
    whether outputs are summed over its inner axes (not so: positions, factors of single numbers).
    """

    axes: tuple[Axis, ...]
    trained: bool = True
    summed: bool = True

    @property
    def size(self) -> Number:
        return prod([axis.size for axis in self.axes])

    @property
    def contracts(self) -> bool:
        """Whether it mixes inputs into outputs, once at every output position."""
        return self.summed and len(self.axes) > 1


def per_channel(channels: Number, trained: bool = True) -> Weight:
    return Weight((Axis(Kind.OUT, channels),), trained)


@dataclass(frozen=True)
class Shape:
    """Channels and spatial size of a feature map (no batch axis); 0 to 3 spatial dimensions."""

    channels: Number
    size: tuple[int, ...] = ()

    @property
    def positions(self) -> int:
        return prod(self.size)

    @property
    def numel(self) -> Number:
        return self.channels * self.positions

    @property
    def dimensions(self) -> int:
        return len(self.size)

    def __str__(self) -> str:
        return "x".join(map(str, (self.channels, *self.size)))


@dataclass(frozen=True)
class Call:
    """A constructor call as data: what is evaluated to build a module and printed to export it.

    ``name`` is a dotted name from torch (``nn.Conv2d``) or the class of an operator's own layer;
    it comes from an operator's code, never from a file.
    """

    name: str
    args: tuple[Number, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(words)})"


class Window(NamedTuple):
    """How far an output position looks (in input steps) and how far apart outputs stand."""

    reach: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Operator:
    """A primitive layer. Subclasses are frozen dataclasses whose fields are its hyperparameters.

    A subclass must say ``weights`` (an operator that does not is refused when it is defined, so
    that no layer ever costs nothing by omission), and what differs from the defaults of ``shape``,
    ``module`` and ``forward``. Each of the five takes one ``Shape`` per input, under names of the
    subclass's own; the signatures here are open so that it may say how many.
    """

    channels: ClassVar[str] = "each"
    """Output channel i comes from input channel i ("each") or its pair ("pairs"), from all of them
    ("joint", as in layer norm), from new filters ("new"), or by routing of whole inputs ("concat",
    "split", "flatten")."""
    stored: ClassVar[bool] = False
    """Counted as an activation although it contracts nothing (pooling)."""
    layer: ClassVar[Callable[[], type[Any]] | None] = None
    """For a layer torch lacks: a function whose body is one ``nn.Module`` class that uses only
    ``torch`` and ``nn``; it is exported with its source."""

    may_be_zero: ClassVar[frozenset[str]] = frozenset()
    """Integer fields for which 0 has a meaning; all others count something and are at least 1."""
    inputs: ClassVar[int | None] = 1
    """How many inputs it takes, as its ``weights`` say; None for any number."""

    channel_order: ClassVar[str] = ""
    """Why the place of a channel among the others means something to it, where ``channels`` does
    not tell; such an operator cannot be grown by copies of channels."""

    # -- what a person choosing an operator asks -----------------------------------------------
    paper: ClassVar[str] = ""
    """Where it comes from: authors and year."""
    input_conditioned: ClassVar[bool] = False
    """Whether what multiplies an input is computed from inputs."""
    fixed_resolution: ClassVar[bool] = False
    """Whether its weights fit one size of map only."""
    shift_equivariant: ClassVar[bool] = True
    """Whether, at stride 1 and away from the border, a shifted input gives the shifted output."""
    coefficients: ClassVar[frozenset[int]] = frozenset()
    """Inputs that only weigh another one: no signal passes there (``entropy``)."""

    known: ClassVar[dict[str, type[Operator]]] = {}

    def __init_subclass__(cls, abstract: bool = False) -> None:
        if abstract:
            return
        if cls.weights is Operator.weights:
            raise TypeError(f"operator {cls.__name__} does not say its weights: it would cost zero")
        namesake = Operator.known.get(cls.__name__, cls)
        if namesake.__module__ != cls.__module__:
            raise TypeError(f"two operators are named {cls.__name__}")
        Operator.known[cls.__name__] = cls
        takes = list(signature(cls.weights).parameters.values())[1:]
        cls.inputs = None if any(p.kind is p.VAR_POSITIONAL for p in takes) else len(takes)

    def __post_init__(self) -> None:
        check_counts(self, self.may_be_zero)
        if not is_open(self):
            self.check_fields()

    def check_fields(self) -> None:
        """Raise ``IllegalArchitecture`` for fields that fit no input at all. Numbers may be arrays
        of candidates; a description with open fields is not asked."""

    def shape(self, *x: Any, **named: Any) -> Shape:
        """Output shape from input shapes; raises ``IllegalArchitecture`` where there is none."""
        unchanged: Shape = x[0]
        return unchanged

    def weights(self, *x: Any, **named: Any) -> dict[str, Weight]:
        """Names (as in the module's state dict) to weights."""
        raise NotImplementedError

    def module(self, *x: Any, **named: Any) -> Call | None:
        """The constructor of the layer; None for a function without state."""
        return None

    def forward(self, *x: Any, **named: Any) -> str:
        """The line of forward(): ``{module}`` stands for the layer, ``{0}`` for the first input; in
        a function without a layer ``{field}`` stands for an integer of the operator's own, so that
        one class serves all its values."""
        return "{module}({0})"

    def window(self, *x: Any, **named: Any) -> Window:
        """What receptive fields are computed from, where all dimensions are alike."""
        return Window()

    def windows_of(self, *x: Any, **named: Any) -> tuple[Window, ...]:
        """The same for each spatial dimension of the first input."""
        dimensions: int = x[0].dimensions
        return (self.window(*x),) * dimensions

    def deployed(self, *x: Any, **named: Any) -> Operator | None:
        """The plain operator it becomes once trained; None where it stays what it is. The layer's
        ``merged()`` then gives that operator's weights (``merge``)."""
        return None

    def cannot_adopt(self, taps: int) -> str:
        """Why it cannot start as the plain operator that it becomes once trained (``deployed``),
        whose kernel has ``taps`` positions that are not zero; empty where it can (``adopted``)."""
        return f"{type(self).__name__} cannot start as another operator"

    def adopted(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Its weights, where those of the plain operator that it is to compute the same as are
        ``weights`` (tensors by their names)."""
        raise NotImplementedError

    @property
    def tie(self) -> str:
        """The function of its layer that a network calls with every stage once it is built, so that
        the layer uses the weights of one before it; empty where it has all its own."""
        return ""

    def initial(self) -> dict[str, str]:
        """Weights that must not start at PyTorch's default: name to a function of ``nn.init``."""
        return {}

    # -- derived, never overridden by a layer whose weights say it all ---------------------------
    def params(self, *x: Shape) -> Number:
        """Trainable parameters."""
        return sum([w.size for w in self.weights(*x).values() if w.trained])

    def buffers(self, *x: Shape) -> Number:
        """Tracked numbers that are saved but not trained (running statistics)."""
        return sum([w.size for w in self.weights(*x).values() if not w.trained])

    def macs(self, *x: Shape) -> Number:
        """Multiply-accumulates of one input, as ``torch.utils.flop_counter`` counts them (half its
        FLOPs): contractions only, no bias, normalisation or activation. ``unseen_macs`` of them
        happen where that counter does not look."""
        positions = self.shape(*x).positions
        return sum([w.size * positions for w in self.weights(*x).values() if w.contracts])

    def unseen_macs(self, *x: Any, **named: Any) -> Number:
        """Those of ``macs`` that the flop counter cannot see, as they are done number by number or
        by a Fourier transform. Their doc string names them."""
        return 0

    def activations(self, *x: Shape) -> Number:
        """Output elements of layers that contract (Radosavovic et al. 2020, section 3), and of
        those whose output is stored anew."""
        contracts = any(w.contracts for w in self.weights(*x).values())
        return self.shape(*x).numel if contracts or self.stored else 0

    def traffic(self, *x: Any, **named: Any) -> Number:
        """Elements moved: every input and weight read once, the output written once."""
        held = sum([w.size for w in self.weights(*x).values()])
        return sum([shape.numel for shape in x]) + self.shape(*x).numel + held

    def fan_in(self, *x: Shape) -> Number | None:
        """Inputs that one output number is summed from (the width of DeepMAD's entropy): in
        channels times kernel positions, per group; None for a layer that contracts nothing."""
        for weight in self.weights(*x).values():
            if weight.contracts:
                return prod((a.size for a in weight.axes if a.kind is not Kind.OUT), start=1)
        return None

    def with_(self, **settings: Any) -> Operator:
        """The same operator with other settings; raises ``IllegalArchitecture`` where it has no
        such field, and so cannot stand where a block needs it."""
        for name in settings:
            if name not in self.__dataclass_fields__:
                kind = type(self).__name__
                raise IllegalArchitecture(f"{kind} has no {name}: it cannot stand here")
        return type(self)(**(vars(self) | settings))
