"""Any PyTorch network as an architecture with its weights, as far as our operators reach.

import_network(module, (3, 32, 32)) traces the module, names every layer that is no operator of
ours, and gives an ``Architecture`` whose network computes the same, which it checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..architecture import Architecture, Run, Stage
from ..block import Block
from ..blocks.layers import INPUT, Layer, Layers
from ..errors import UserError
from ..operator import Shape
from .calls import read_calls
from .check import check_same
from .functions import FUNCTIONS, LAYERS
from .known import known_block
from .names import class_name, layer_names
from .parts import Piece, cut_up
from .reader import Reader, plain, refuse
from .steps import (
    CannotMap,
    Step,
    View,
    fit_vectors,
    flatten,
    in_order,
    join_concats,
    lift,
    measure_all,
)

COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Imported:
    """A user's network as ours.

    ``state`` has the names and shapes of ``build(architecture).state_dict()``; ``origins`` tells
    for each of its names the user's own. ``unused`` are tensors of the user's that have no part in
    what the network computes, and so are not in it.
    """

    architecture: Architecture
    state: Mapping[str, Tensor]
    origins: Mapping[str, str]
    unused: tuple[str, ...] = ()


def import_network(module: nn.Module, example: Tensor | Sequence[int]) -> Imported:
    """A module as an architecture and its state.

    ``example`` is an input with its batch axis, or the shape of one without: ``(3, 224, 224)``. The
    module is left as it was. Raises ``UserError`` naming all layers and calls that none of our
    operators is, weights that are used twice, and a module that cannot be traced.
    """
    shape = tuple(example.shape[1:] if isinstance(example, Tensor) else example)
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise UserError(f"an input of {shape} is not channels and 1 to 3 sizes; give those")
    with torch.random.fork_rng(devices=[]):
        return _imported(_copy(module), shape)


def _imported(work: nn.Module, shape: tuple[int, ...]) -> Imported:
    name = type(work).__name__
    state = {key: value.detach().clone() for key, value in work.state_dict().items()}
    reader = Reader(read_calls(work, shape), shape, state, FUNCTIONS, LAYERS)
    twice = _twice(reader.steps, work)
    if reader.refusals or twice:
        raise refuse([*reader.refusals, *twice], name)
    try:
        steps = _steps(reader)
    except CannotMap as error:
        raise refuse([str(error)], name) from None
    architecture, layers = _assembled(steps, reader.source, work)
    origins = {
        f"{layer}.{own}": theirs
        for step, layer in layers.items()
        for own, theirs in step.weights.items()
    }
    mine = _state(layers, origins, state)
    unused = tuple(sorted(state.keys() - set(origins.values())))
    check_same(work, architecture, origins)
    return Imported(architecture, mine, origins, unused)


def _copy(module: nn.Module) -> nn.Module:
    try:
        return deepcopy(module).cpu()
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{type(module).__name__} cannot be copied ({reason})") from error


def _twice(steps: Sequence[Step], module: nn.Module) -> list[str]:
    """Weights that more than one layer has."""
    tensors: dict[str, Tensor] = dict(module.named_buffers(remove_duplicate=False))
    tensors |= dict(module.named_parameters(remove_duplicate=False))
    uses = Counter(theirs for step in steps for theirs in step.weights.values())
    found = [f"{theirs}: weights used {n} times" for theirs, n in uses.items() if n > 1]
    shared: dict[int, list[str]] = {}
    for theirs in uses:
        if tensors[theirs].numel():
            shared.setdefault(tensors[theirs].data_ptr(), []).append(theirs)
    found += [f"{' and '.join(same)}: one tensor" for same in shared.values() if len(same) > 1]
    return found


def _steps(reader: Reader) -> list[Step]:
    """The steps that the output needs, in order, of one kind each."""
    output = reader.output
    if not isinstance(output, View):
        raise CannotMap("what is returned is not computed from the input")
    last = plain(output)
    vector = output.dimensions == 2
    if last.shape.positions == 1 and not vector:
        last = lift(last, output.dimensions - 2)
    elif output.channel_axis != 1:
        raise CannotMap("what is returned has its channels last; move them to axis 1")
    steps = list(reader.steps)
    if vector and last.shape.dimensions:
        last = flatten(last, "")
        steps.append(last)
    for _ in range(2):  # fitting may lift what an earlier step reads
        steps = in_order(fit_vectors(steps), last)
    steps = in_order(join_concats(steps), last)
    measure_all(steps)
    if not steps:
        raise CannotMap("it returns its input")
    return steps


def _assembled(
    steps: Sequence[Step], source: Step, module: nn.Module
) -> tuple[Architecture, dict[Step, str]]:
    """The architecture, and the name of every step's layer in it."""
    parts = cut_up(steps, source, module)
    if parts is None:
        raise UserError(
            f"{type(module).__name__} is one block from input to output; an architecture needs a"
            " stage and a head: let one value alone pass somewhere between them"
        )
    blocks: dict[str, Block] = {}
    layers: dict[Step, str] = {}
    for place, piece in parts.pieces():
        blocks[place], names = block_of(piece, place == "head")
        layers |= {step: f"{place}.{names[step]}" for step in piece.steps}
    stages = tuple(
        Stage(tuple(Run(blocks[f"stages.{i}.{j}"]) for j in range(len(stage))))
        for i, stage in enumerate(parts.stages)
    )
    shape = source.shape
    size = (shape.channels, *shape.size)
    architecture = Architecture(blocks.get("stem"), stages, blocks["head"], size)
    named = {name: step for step, name in layers.items()}
    order = [node.name for node in architecture.trace().nodes()]
    return architecture, {named[name]: name for name in order}


def block_of(piece: Piece, is_head: bool = False) -> tuple[Block, dict[Step, str]]:
    """A block that is the piece, one of ours where there is one, and how it names the layers."""
    known = known_block(piece, is_head)
    if known is not None:
        return known
    names = layer_names(piece)
    reads = {piece.input: INPUT, **names}
    layers = tuple(
        Layer(names[step], step.op, tuple(reads[inner] for inner in step.inputs))
        for step in piece.steps
        if step.op is not None
    )
    return Layers(layers, class_name(piece)), names


def _state(
    layers: Mapping[Step, str], origins: Mapping[str, str], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The user's tensors by our names and in our shapes (a linear layer may be a 1x1 here)."""
    mine: dict[str, Tensor] = {}
    for step, layer in layers.items():
        assert step.op is not None
        shapes: list[Shape] = [inner.shape for inner in step.inputs]
        for own, weight in step.op.weights(*shapes).items():
            name = f"{layer}.{own}"
            mine[name] = state[origins[name]].reshape([axis.size for axis in weight.axes])
            if own == "running_var":
                counter = f"{layer}.{COUNTER}"
                known = counter in origins
                mine[counter] = state[origins[counter]] if known else torch.tensor(0)
    return mine
