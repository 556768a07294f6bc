"""What a training depends on, as a run's record keeps it: data, network, recipe, seeds, devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..architecture import Architecture
from ..data import find_data, subset
from ..data.dataset import Data
from ..errors import UserError
from .devices import find_device
from .recipe import Recipe


@dataclass(frozen=True)
class Source:
    """Where data come from, so that a run can open them again: the arguments of ``find_data``, and
    how many training pictures are used (None: all)."""

    text: str = "digits"
    shape: tuple[int, int, int] | None = None
    validation: float | None = None
    seed: int = 0
    limit: int | None = None

    def open(self) -> Data:
        """The data; raises ``UserError``."""
        found = find_data(self.text, shape=self.shape, validation=self.validation, seed=self.seed)
        return subset(found, self.limit)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Source:
        """The source whose ``asdict`` this was; raises ``KeyError``, ``TypeError``,
        ``ValueError``."""
        validation, limit = plain["validation"], plain["limit"]
        shape = plain["shape"]
        if shape is not None:
            channels, height, width = map(int, shape)
            shape = channels, height, width
        return cls(
            str(plain["text"]),
            shape,
            None if validation is None else float(validation),
            int(plain["seed"]),
            None if limit is None else int(limit),
        )


@dataclass(frozen=True)
class Job:
    """Everything a training depends on but the files that lie in its folder."""

    architecture: Architecture
    source: Source
    recipe: Recipe
    seeds: tuple[int, ...]
    device: str
    devices: int
    checkpoint_seconds: float

    def places(self) -> list[torch.device]:
        """The devices, one per process; raises ``UserError`` where there are not as many."""
        device = torch.device(self.device)
        if self.devices == 1:
            return [device]
        if device.type == "cpu":
            return [device] * self.devices
        found = torch.cuda.device_count()
        if self.devices > found:
            raise UserError(f"--devices {self.devices}: there are {found}")
        return [torch.device("cuda", index) for index in range(self.devices)]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, all but the architecture."""
        return {
            "data": asdict(self.source),
            "recipe": self.recipe.as_dict(),
            "seeds": list(self.seeds),
            "device": self.device,
            "devices": self.devices,
            "checkpoint_seconds": self.checkpoint_seconds,
        }

    @classmethod
    def from_dict(cls, architecture: Architecture, plain: Mapping[str, Any]) -> Job:
        """The job whose ``as_dict`` this was; raises ``UserError``, ``KeyError``, ``TypeError``,
        ``ValueError``."""
        return cls(
            architecture,
            Source.from_dict(plain["data"]),
            Recipe.from_dict(plain["recipe"]),
            tuple(int(seed) for seed in plain["seeds"]),
            str(find_device(plain["device"])),
            int(plain["devices"]),
            float(plain["checkpoint_seconds"]),
        )
