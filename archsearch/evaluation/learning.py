"""A candidate's training: the loop of every training, told of epoch by epoch and ended early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ..architecture import Architecture
from ..data.dataset import Data
from ..errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from ..training.recipe import Recipe

OnEpoch = Callable[[int, Mapping[str, float]], bool]
"""Called with an epoch, from 1, and what is known at its end; answers whether to go on."""

WithNetwork: TypeAlias = "Callable[[nn.Module], None]"


class _Stopped(Exception):
    """Ends a training between two steps."""


def learn(
    architecture: Architecture,
    seed: int,
    data: Data,
    recipe: Recipe,
    device: str | None,
    on_epoch: OnEpoch,
    begin: WithNetwork = lambda net: None,
    end: WithNetwork = lambda net: None,
) -> dict[str, float]:
    """Train a network and judge it on the validation pictures: "accuracy" (of 1), "loss" (nats),
    "train_accuracy", "train_loss", "epochs" and "training_seconds", as the last epoch left them.

    ``device`` is one of ``find_device``. ``begin`` is called with the network as it is built, and
    ``end``, unless it was stopped, with the one that was judged. Raises ``UserError`` for a
    training that diverged.
    """
    import torch

    from ..nets.build import build
    from ..training.devices import Place, find_device
    from ..training.loop import DIVERGED, FINISHED, Training

    torch.manual_seed(seed)
    net = build(architecture)
    begin(net)
    training = Training(net, data, recipe, seed, Place(find_device(device)))

    def after_epoch(row: Mapping[str, Any]) -> None:
        if not on_epoch(row["epoch"], _told(row)):
            raise _Stopped

    with suppress(_Stopped):
        training.run(after_epoch)
    if training.state == DIVERGED:
        raise UserError(training.reason)
    if training.state == FINISHED:
        end(training.result)
    return _told(training.history[-1])


def _told(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        "epochs": float(row["epoch"]),
        "accuracy": float(row["validation_accuracy"]),
        "loss": float(row["validation_loss"]),
        "train_accuracy": float(row["train_accuracy"]),
        "train_loss": float(row["train_loss"]),
        "training_seconds": float(row["seconds"]),
    }
