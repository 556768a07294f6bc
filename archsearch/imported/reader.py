"""A user's module read call by call into steps; what is no operator of ours is named.

A layer of torch.nn is read as the function it calls, with its weights, so that ``nn.Conv2d``,
``F.conv2d`` and the operator of an exported program are one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor, nn

from ..errors import UserError
from ..operator import IllegalArchitecture, Operator, Shape
from .calls import BATCH, Called, Calls, Held, Ref, layer_class
from .steps import CannotLay, CannotMap, Step, View, lift, view_of

MOST_NAMED = 12
"""What cannot be mapped is named up to here; of more, the number."""


Functions = Mapping[str, Callable[..., Any]]
"""What reads a call of each function of PyTorch's: given the reader and the call's arguments."""

Layers = Mapping[str, tuple[str, tuple[str, ...]]]
"""Layers of torch.nn: the function each calls, and which of its settings and tensors go there (by
another name where one follows an ``=``)."""


class Reader:
    """The steps of a module, made call by call; what could not be is in ``refusals``."""

    def __init__(
        self,
        calls: Calls,
        shape: tuple[int, ...],
        state: Mapping[str, Any],
        functions: Functions,
        layers: Layers,
    ) -> None:
        self.functions, self.layers = functions, layers
        self.source = Step("x", "", None, [], Shape(shape[0], shape[1:]))
        self.steps: list[Step] = []
        self.refusals: list[str] = []
        self.values: dict[str, Any] = {calls.input: view_of(self.source)}
        self.state = state
        self.unmapped: set[Step] = set()
        self.storages = 0
        for call in calls.calls:
            self.call = call
            self.values[call.name] = self._read(call)
        self.output = self.values[calls.output.name] if isinstance(calls.output, Ref) else None

    # -- one call ------------------------------------------------------------------------------
    def _read(self, call: Called) -> Any:
        args = [self._value(value) for value in call.args]
        kwargs = {name: self._value(value) for name, value in call.kwargs.items()}
        kwargs.pop("inplace", None)
        in_place = self._in_place(call)
        name = call.operation.removesuffix("_") if in_place else call.operation
        known = name in self.functions or name in self.layers
        try:
            if call.module is not None:
                result = self._layer(call.module, args)
            elif name in self.functions:
                result = self.functions[name](self, *args, **kwargs)
            else:
                raise CannotMap("no operator of archsearch is that")
            self._check(result, call)
        except (CannotMap, IllegalArchitecture) as error:
            laid = known and isinstance(error, CannotLay | IllegalArchitecture)
            self._refuse(str(error), laid, [*args, *kwargs.values()])
            return self._unknown(call.shape)
        except (TypeError, ValueError, AttributeError, IndexError, KeyError):
            reason = "with these arguments no operator of archsearch is that"
            self._refuse(reason, known, [*args, *kwargs.values()])
            return self._unknown(call.shape)
        if in_place and args and isinstance(args[0], View) and isinstance(result, View):
            self._overwrite(args[0], result)
        return result

    def _value(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.values[value.name]
        return [self._value(item) for item in value] if isinstance(value, list) else value

    def _in_place(self, call: Called) -> bool:
        if call.module is not None:
            return bool(getattr(call.module, "inplace", False))
        return call.kwargs.get("inplace") is True or (
            call.operation.endswith("_") and not call.operation.endswith("__")
        )

    def _overwrite(self, before: View, after: View) -> None:
        """A layer that works in place changes what its input is to those that read it later."""
        for name, value in self.values.items():
            if isinstance(value, View) and value.storage == before.storage:
                self.values[name] = replace(
                    after, channel_axis=value.channel_axis, dimensions=value.dimensions
                )

    def _check(self, result: Any, call: Called) -> None:
        given = call.shape if isinstance(call.shape, list) else [call.shape]
        mine = result if isinstance(result, list) else [result]
        for view, shape in zip(mine, given, strict=True):
            if not view.spread and not view.pending and view.shape != tuple(shape):
                raise CannotLay(f"it gives {shown(shape)} numbers where {shown(view.shape)} fit")

    def _refuse(self, reason: str, laid: bool, inputs: Sequence[Any]) -> None:
        """Name the call; not where it is ``laid`` out wrongly only, as what it reads is unmapped
        and so guessed."""
        views = [v for item in inputs for v in (item if isinstance(item, list) else [item])]
        follows = any(isinstance(v, View) and v.step in self.unmapped for v in views)
        if not (laid and follows):
            self.refusals.append(f"{self.call.place}: {self.call.operation} ({reason})")

    def _unknown(self, shape: Any) -> Any:
        if isinstance(shape, list):
            return [self._unknown(item) for item in shape]
        sizes = tuple(max(1, n) for n in shape[1:]) or (1,)
        step = Step(
            self.call.name, self.call.scope, None, [self.source], Shape(sizes[0], sizes[1:])
        )
        self.unmapped.add(step)
        self.storages += 1
        return View(step, 1, max(2, len(shape)), self.storages)

    def add(
        self,
        op: Operator,
        *inputs: Step,
        name: str = "",
        weights: Mapping[str, Held | None] | None = None,
    ) -> Step:
        """One more step, named after the user's layer or the function."""
        held = {own: found for own, found in (weights or {}).items() if found is not None}
        for found in held.values():
            if not isinstance(found, Held):
                raise CannotMap("its weights are computed, not held")
        base = name or self.call.operation.strip("_").rpartition(".")[2]
        full = self.call.path or f"{self.call.scope}.{base}".lstrip(".")
        names = {own: found.name for own, found in held.items()}
        step = Step(full, self.call.scope, op, list(inputs), inputs[0].shape, names)
        step.measure()
        self._check_weights(step, held)
        self.steps.append(step)
        return step

    def _check_weights(self, step: Step, held: Mapping[str, Held]) -> None:
        assert step.op is not None
        expected = step.op.weights(*(inner.shape for inner in step.inputs))
        if missing := expected.keys() - held.keys():
            raise CannotMap(f"it has no {' and no '.join(sorted(missing))}; ours has")
        for own, weight in expected.items():
            if weight.size != prod(held[own].shape):
                raise CannotMap(f"its {own} is {shown(held[own].shape)}")
            if weight.trained != held[own].trained:
                raise CannotMap(f"its {own} is {'no' if weight.trained else 'a'} parameter")

    def on(self, x: View, op: Operator, **more: Any) -> View:
        """An operator that changes neither shape nor layout."""
        return self.like(x, self.add(op, plain(x), **more))

    def like(self, x: View, step: Step) -> View:
        """A step laid out as ``x`` is, in memory of its own."""
        self.storages += 1
        return View(step, x.channel_axis, x.dimensions, self.storages)

    # -- layers --------------------------------------------------------------------------------
    def _layer(self, module: nn.Module, args: list[Any]) -> Any:
        cls = layer_class(module)
        hooks = module._forward_hooks or module._forward_pre_hooks
        if hooks or nn.utils.parametrize.is_parametrized(module):
            raise CannotMap("hooks or parametrizations compute its weights or change its output")
        if cls is None or cls.__name__ not in self.layers:
            raise CannotMap("no operator of archsearch is that")
        function, fields = self.layers[cls.__name__]
        settings: dict[str, Any] = {}
        for field in fields:
            name, _, ours = field.partition("=")
            settings[ours or name] = self._held(module, name)
        return self.functions[function](self, *args, **settings)

    def _held(self, module: nn.Module, name: str) -> Any:
        """A setting of a layer, or its tensor of that name."""
        value = getattr(module, name)
        if not isinstance(value, Tensor):
            return value
        full = f"{self.call.path}.{name}"
        if full not in self.state:
            raise CannotMap(f"its {name} is computed, not held")
        return Held(full, tuple(value.shape), isinstance(value, nn.Parameter))


def refuse(refusals: Sequence[str], name: str) -> UserError:
    """All that cannot be mapped, in one line."""
    distinct = list(dict.fromkeys(refusals))
    named = "; ".join(distinct[:MOST_NAMED])
    more = len(distinct) - MOST_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return UserError(
        f"{name} cannot be imported: {named}{rest}. Use layers that archsearch list operators"
        " names, or add an operator"
    )


def as_view(x: Any) -> View:
    """What is computed from the input; raises ``CannotMap`` for other arguments."""
    if not isinstance(x, View):
        raise CannotMap("it reads what is not computed from the input")
    return x


def plain(x: Any) -> Step:
    """The step of a view; raises ``CannotMap`` for what is not simply a step's numbers."""
    view = as_view(x)
    if view.spread:
        raise CannotMap("it needs one position spread over a map; only a product does that here")
    if view.pending:
        raise CannotMap(f"constants were added or multiplied ({view.pending}) before")
    return view.step


def as_map(x: Any, dimensions: int) -> Step:
    """The step of a view that is a map of so many dimensions, channels first."""
    step = plain(x)
    if x.channel_axis != 1 or x.dimensions != dimensions + 2:
        raise CannotLay(f"it needs channels first and {dimensions} dimensions behind them")
    return lift(step, dimensions) if step.shape.positions == 1 else step


def shown(shape: Sequence[int]) -> str:
    """A tensor's size in a message; N is the batch."""
    return "x".join("N" if n == BATCH else "?" if n < 0 else str(n) for n in shape)
