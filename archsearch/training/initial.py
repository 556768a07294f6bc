"""Networks that were trained before: to start from, and to be taught by."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def read_preprocessing(path: Path) -> dict[str, object] | None:
    """ "data", "classes", "mean" and "deviation" of the network in a weights file; None where the
    file does not say. Raises ``BadFile``."""
    said = read_notes(path).get(PREPROCESSING)
    if said is None:
        return None
    try:
        own = json.loads(said)
        fine = len(own["mean"]) == len(own["deviation"]) and all(
            isinstance(number, float) for number in (*own["mean"], *own["deviation"])
        )
    except (KeyError, TypeError, ValueError):
        fine = False
    if not fine:
        raise BadFile(f"{path}: what it says of its preprocessing cannot be read")
    return dict(own)


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
    _, net = load_network(path)
    own = read_preprocessing(path)
    if own is None:
        return net
    return Renormalised(net, given, (own["mean"], own["deviation"]))  # type: ignore[arg-type]
