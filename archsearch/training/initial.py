"""Networks that were trained before: to start from, and to be taught by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..errors import BadFile
from ..nets.weights import load_network, read_notes

PREPROCESSING = "preprocessing"
"""The metadata entry of a weights file that says what its network reads and what it tells apart."""

Statistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of every channel, in units of [0, 1]."""


@dataclass(frozen=True)
class Preprocessing:
    """What a trained network reads, ``mean`` and ``deviation`` by channel, and tells apart: the
    names of its classes (None where its file does not list them)."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...] | None = None


def read_preprocessing(path: Path, channels: int) -> Preprocessing | None:
    """What a weights file says of its network's pictures, which have so many channels; None where
    it does not say. Raises ``BadFile``."""
    said = read_notes(path).get(PREPROCESSING)
    if said is None:
        return None
    try:
        own = json.loads(said)
        mean, deviation = (tuple(map(float, own[name])) for name in ("mean", "deviation"))
        names = own.get("classes")
        classes = None if names is None else tuple(map(str, names))
        fine = len(mean) == len(deviation) == channels and all(map(isfinite, mean))
        fine = fine and all(0 < value < inf for value in deviation)
    except (AttributeError, KeyError, TypeError, ValueError):
        fine = False
    if not fine:
        raise BadFile(f"{path}: what it says of its preprocessing cannot be read")
    return Preprocessing(mean, deviation, classes)


def start_from(net: nn.Module, path: Path, architecture: Architecture) -> bool:
    """Put a file's weights into a network; whether its classifier was left out, as it is for other
    classes. Raises ``BadFile`` for weights of another architecture."""
    own, other = load_network(path)
    state = other.state_dict()
    same = own == architecture
    alike = architecture.with_classes(1) == own.with_classes(1)
    expected = net.state_dict()
    fits = {n for n, tensor in state.items() if n in expected and tensor.shape == expected[n].shape}
    classifier = {n for n in expected if n.startswith("head.")}
    if not (same or alike) or not expected.keys() - classifier <= fits:
        raise BadFile(f"{path} is of another architecture; give weights of this one")
    net.load_state_dict(expected | {name: state[name] for name in fits})
    return fits != expected.keys()


class Renormalised(nn.Module):
    """A network behind pictures that were normalised with other statistics than its own."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, given: Statistics, own: Statistics) -> None:
        super().__init__()
        self.net = net
        mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in given)
        own_mean, own_deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in own)
        self.register_buffer("scale", deviation / own_deviation)
        self.register_buffer("shift", (mean - own_mean) / own_deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of pictures (n, channels, height, width) normalised with the given statistics."""
        answer: Tensor = self.net(x * self.scale + self.shift)
        return answer


def load_teacher(path: Path, given: Statistics) -> nn.Module:
    """The network of a weights file, reading pictures normalised with the ``given`` statistics."""
    architecture, net = load_network(path)
    own = read_preprocessing(path, architecture.input[0])
    return net if own is None else Renormalised(net, given, (own.mean, own.deviation))
