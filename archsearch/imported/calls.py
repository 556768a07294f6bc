"""A user's module as the calls it makes: traced by torch.fx, or by torch.export where fx cannot.

Every call is recorded with the sizes that flow through it; nothing is known of operators here.
"""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from traceback import extract_tb
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from ..errors import UserError

BATCHES = (2, 3)
"""Batch sizes that are run: what differs between them is the batch axis."""

BATCH = 0
"""Stands for the size of the batch axis in a recorded shape."""
UNKNOWN = -1
"""Stands for another size that depends on the batch."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Ref:
    """What another call gave."""

    name: str


@dataclass(frozen=True)
class Held:
    """A parameter or buffer of the user's module, by its name in the state dict."""

    name: str
    shape: tuple[int, ...]
    trained: bool


class Mode:
    """An argument that is True in training and False in evaluation."""


class Varies:
    """A number that depends on the batch, or a tensor computed from parameters alone."""


@dataclass(frozen=True)
class Called:
    """One call on the way from the input to the output.

    ``operation`` is what PyTorch calls the function; for a layer it is the layer's class, and
    ``module`` the layer. ``path`` is the layer's name, ``scope`` that of the module it is in.
    ``shape`` is the output's, with ``BATCH`` for the batch axis; of several outputs, all of them.
    """

    name: str
    operation: str
    module: nn.Module | None
    path: str
    scope: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Any

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return self.path or self.scope or "forward"


@dataclass(frozen=True)
class Calls:
    """All calls of a module in order, and the name of the one that gives the output."""

    input: str
    calls: tuple[Called, ...]
    output: Any


def read_calls(module: nn.Module, shape: tuple[int, ...]) -> Calls:
    """What a module does with an input of ``shape`` (no batch axis).

    The module is left in another mode than it was in. Raises ``UserError`` for one that cannot run
    on such an input, does not return one tensor, or cannot be traced.
    """
    name = type(module).__name__
    x = _example(module, shape, BATCHES[0])
    module.eval()
    try:
        with torch.no_grad():
            found = module(x)
    except Exception as error:
        size = "x".join(map(str, shape))
        raise UserError(
            f"{name} cannot take an input of {size}: {told(error)}; say the size it was made for"
        ) from error
    if not isinstance(found, Tensor):
        raise UserError(
            f"{name} returns a {type(found).__name__}; import a module that returns one tensor"
        )
    try:
        graphs = [_by_fx(module, mode) for mode in (True, False)]
    except Exception as reason:
        try:
            graphs = [_by_export(module, mode, shape) for mode in (True, False)]
        except Exception as error:
            raise UserError(
                f"{name} cannot be traced: {told(reason)}; let no choice in forward() depend on"
                " the numbers of a tensor"
            ) from error
    return _together(module, graphs, shape)


# -- tracing -----------------------------------------------------------------------------------
class _LeafTracer(fx.Tracer):
    """Stops at layers of torch.nn, also at a user's subclass that computes as they do."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return layer_class(m) is not None or super().is_leaf_module(m, module_qualified_name)


def layer_class(module: nn.Module) -> type[nn.Module] | None:
    """The class of torch.nn that a layer computes as; None for a module of the user's own."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("torch.nn.modules.") and not issubclass(cls, CONTAINERS):
            methods = ("forward", "_conv_forward")
            same = all(getattr(cls, m, None) is getattr(type(module), m, None) for m in methods)
            return cls if same and issubclass(cls, nn.Module) and cls is not nn.Module else None
    return None


def _by_fx(module: nn.Module, train: bool) -> fx.GraphModule:
    module.train(train)
    graph = _LeafTracer().trace(module)
    return fx.GraphModule(module, graph)


def _by_export(module: nn.Module, train: bool, shape: tuple[int, ...]) -> fx.GraphModule:
    module.train(train)
    batch = torch.export.Dim.DYNAMIC
    example = _example(module, shape, BATCHES[1])
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), _no_logging():
        program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
    module.load_state_dict(state)
    found = program.module()
    assert isinstance(found, fx.GraphModule)
    return found


@contextmanager
def _no_logging() -> Iterator[None]:
    """Without the trees that a failing export logs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _example(module: nn.Module, shape: tuple[int, ...], batch: int) -> Tensor:
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(1))
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, *shape, generator=generator).to(like)


# -- recording ---------------------------------------------------------------------------------
class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what every node gave, tensors as their sizes."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.given: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "call_module" and n.target == "_guards_fn":  # of torch.export
            return None
        result = super().run_node(n)
        self.given[n.name] = _sized(result)
        return result


class _Size(tuple[int, ...]):
    """The size of a tensor."""


def _sized(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Size(value.shape)
    if isinstance(value, tuple | list):
        return [_sized(item) for item in value]
    return value


def _both(one: Any, two: Any) -> Any:
    """What two runs gave as one: sizes of tensors as tuples with ``BATCH``, constants."""
    if isinstance(one, _Size) and isinstance(two, _Size):
        if len(one) != len(two):
            return (UNKNOWN,)
        return _Size(
            a if a == b else BATCH if (a, b) == BATCHES else UNKNOWN
            for a, b in zip(one, two, strict=True)
        )
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [_both(a, b) for a, b in zip(one, two, strict=True)]
    same = type(one) is type(two) and (one is two or one == two)
    return one if same else Varies()


def _together(module: nn.Module, graphs: list[fx.GraphModule], shape: tuple[int, ...]) -> Calls:
    name = type(module).__name__
    module.eval()
    runs: list[dict[str, Any]] = []
    for batch in BATCHES:
        recorder = _Recorder(graphs[1])
        with torch.no_grad():
            try:
                recorder.run(_example(module, shape, batch))
            except Exception as error:
                raise UserError(
                    f"{name} does not take a batch of {batch}: {told(error)}; let it take any"
                ) from error
        runs.append(recorder.given)
    given = {node: _both(value, runs[1][node]) for node, value in runs[0].items()}
    train, evaluate = ([*_reading_input(graph.graph)] for graph in graphs)
    alike = len(train) == len(evaluate) and all(
        (a.op, _operation(a), len(a.args), len(a.kwargs))
        == (b.op, _operation(b), len(b.args), len(b.kwargs))
        for a, b in zip(train, evaluate, strict=True)
    )
    if not alike:
        raise UserError(
            f"{name} does other things in training than in evaluation; import one that differs in"
            " dropout and batch norm alone"
        )
    names = {b.name: a.name for a, b in zip(train, evaluate, strict=True)}
    reader = _Reader(module, names, given)
    calls, output = [], None
    for a, b in zip(train, evaluate, strict=True):
        if b.op == "output":
            output = _unpacked(reader.value(b.args[0], a.args[0]))
        elif b.op != "placeholder" and _holds_tensor(given[b.name]):
            calls.append(reader.call(a, b))
    inputs = [node for node in evaluate if node.op == "placeholder"]
    return Calls(inputs[0].name, tuple(calls), output)


def _reading_input(graph: fx.Graph) -> Iterator[fx.Node]:
    """The nodes that something of the input reaches, in order; of inputs, the first."""
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        first = node.op == "placeholder" and not reached
        if node.target != "_guards_fn" and (first or reached & {*node.all_input_nodes}):
            reached.add(node)
            yield node
        elif node.op == "output":
            yield node


def _unpacked(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _holds_tensor(given: Any) -> bool:
    return isinstance(given, _Size) or (
        isinstance(given, list) and any(_holds_tensor(item) for item in given)
    )


@dataclass
class _Reader:
    """Nodes of both graphs as calls: arguments as references, held tensors and constants."""

    module: nn.Module
    names: dict[str, str]
    given: dict[str, Any]

    def __post_init__(self) -> None:
        self.state = {
            **dict(self.module.named_parameters(remove_duplicate=False)),
            **dict(self.module.named_buffers(remove_duplicate=False)),
        }

    def call(self, train: fx.Node, node: fx.Node) -> Called:
        module, path, scope = self._place(node)
        args = tuple(self.value(b, a) for a, b in zip(train.args, node.args, strict=True))
        kwargs = {name: self.value(b, train.kwargs[name]) for name, b in node.kwargs.items()}
        layer = node.op == "call_module"
        assert not layer or module is not None
        return Called(
            node.name,
            type(module).__name__ if layer else _operation(node),
            module if layer else None,
            path,
            scope,
            args,
            kwargs,
            self.given[node.name],
        )

    def _place(self, node: fx.Node) -> tuple[nn.Module | None, str, str]:
        """The layer a node belongs to, its name, and that of the module it is in."""
        if node.op == "call_module":
            path = str(node.target)
            return self.module.get_submodule(path), path, path.rpartition(".")[0]
        stack = [str(p).partition("@")[0] for p, _ in node.meta.get("nn_module_stack", {}).values()]
        known = [p for p in stack if p and not p.startswith("_")]
        path = known[-1] if known else ""
        module = self.module.get_submodule(path)
        if path and layer_class(module) is not None:
            return module, path, path.rpartition(".")[0]
        return None, "", path

    def value(self, value: Any, train: Any) -> Any:
        if isinstance(value, fx.Node):
            return self._node(value)
        if isinstance(value, tuple | list):
            trains = train if isinstance(train, tuple | list) else value
            return [self.value(b, a) for a, b in zip(trains, value, strict=False)]
        if isinstance(value, slice):
            return slice(*(self.value(v, v) for v in (value.start, value.stop, value.step)))
        return Mode() if value is False and train is True else value

    def _node(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            held = self.state.get(str(node.target))
            if held is None:
                return Varies()
            return Held(str(node.target), tuple(held.shape), isinstance(held, nn.Parameter))
        given = self.given[node.name]
        if not _holds_tensor(given):
            return tuple(given) if isinstance(given, list) else given
        return Ref(node.name) if node.name in self.names else Varies()


def _functions() -> dict[Any, str]:
    """Functions of torch by the name a method of theirs has."""
    places = (functional, torch, operator)
    found: dict[Any, str] = {}
    for place in places:
        for name in dir(place):
            function = getattr(place, name)
            if callable(function) and not name.startswith("_"):
                try:
                    found.setdefault(function, name)
                except TypeError:  # not hashable
                    continue
    return found


_FUNCTIONS: dict[Any, str] = {}


def _operation(node: fx.Node) -> str:
    """What a node does, by the name PyTorch has for it; a user's own function with its module."""
    if node.op == "call_function":
        if isinstance(node.target, torch._ops.OpOverload):
            return str(node.target._schema.name).rpartition("::")[2]
        if not _FUNCTIONS:
            _FUNCTIONS.update(_functions())
        target: Any = node.target
        own = f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', target)}"
        return _FUNCTIONS.get(target, own)
    return str(node.target)


def told(error: BaseException) -> str:
    """An error in one line, with the place in the user's own code that it arose in."""
    text = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    foreign = ("site-packages", "dist-packages", os.path.dirname(os.__file__), package)
    frames = [
        frame
        for frame in extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(f in frame.filename for f in foreign)
    ]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text
