"""How a network is trained: the knobs, their defaults, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ..errors import UserError
from .augment import Augment

OptimizerName = Literal["adamw", "sgd"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

REFERENCE_BATCH = 128
"""The batch the default learning rates belong to."""

LEARNING_RATES: Mapping[str, float] = {"adamw": 3e-3, "sgd": 0.1}
WEIGHT_DECAYS: Mapping[str, float] = {"adamw": 0.05, "sgd": 5e-4}


@dataclass(frozen=True)
class Recipe:
    """One training, but for network, data and seed.

    ``batch_size`` is what one step of the optimiser sees, over all devices and all ``accumulate``
    parts it is cut into. ``learning_rate`` and ``weight_decay`` left open (None) are the usual ones
    of the optimiser, the former scaled with the batch: linearly for SGD (Goyal et al. 2017), by the
    square root for AdamW (Malladi et al. 2022). ``warmup`` is the share of all steps in which the
    rate rises linearly; from there it falls to zero along a cosine (Loshchilov & Hutter 2017).
    ``augment`` left open is ``Augment.standard`` of the data. ``ema`` is the decay of the running
    mean of the weights, which is what is judged and kept; 0 keeps the weights themselves.
    ``clip`` bounds the gradient's norm (None: no bound). ``precision`` "auto" is bfloat16 (or
    float16, where that is all there is) on a GPU and float32 elsewhere. ``distillation`` is the
    weight of the teacher's answers, softened by ``temperature`` (Hinton et al. 2015), where there
    is a teacher.
    """

    epochs: int = 30
    batch_size: int = REFERENCE_BATCH
    optimizer: OptimizerName = "adamw"
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup: float = 0.1
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    augment: Augment | None = None
    ema: float = 0.999
    clip: float | None = 1.0
    accumulate: int = 1
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    distillation: float = 0.7
    temperature: float = 4.0

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _check("batch size", self.batch_size, self.batch_size >= 1, "at least 1")
        _check("accumulate", self.accumulate, self.accumulate >= 1, "at least 1")
        self.check_parts(1)
        _check("optimizer", self.optimizer, self.optimizer in get_args(OptimizerName), "adamw, sgd")
        precisions = get_args(Precision)
        _check("precision", self.precision, self.precision in precisions, ", ".join(precisions))
        for name in ("learning_rate", "weight_decay", "mixup", "cutmix", "clip"):
            value = getattr(self, name)
            fine = value is None or (math.isfinite(value) and value >= 0)
            _check(name.replace("_", " "), value, fine, "a number of at least 0")
        for name in ("label_smoothing", "ema", "warmup", "distillation"):
            value = getattr(self, name)
            below = value < 1 or (name == "distillation" and value == 1)
            _check(name.replace("_", " "), value, value >= 0 and below, "from 0 to below 1")
        _check("temperature", self.temperature, self.temperature > 0, "above 0")

    def check_parts(self, devices: int) -> None:
        """Raise ``UserError`` where a batch cannot be shared by so many devices."""
        parts = devices * self.accumulate
        if self.batch_size % parts:
            raise UserError(
                f"batch size {self.batch_size}: it cannot be cut into {parts} equal parts"
                f" ({devices} devices, {self.accumulate} accumulated); give a multiple of {parts}"
            )

    @property
    def peak_rate(self) -> float:
        """The largest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        times = self.batch_size / REFERENCE_BATCH
        scaling = times if self.optimizer == "sgd" else math.sqrt(times)
        return LEARNING_RATES[self.optimizer] * scaling

    @property
    def decay(self) -> float:
        """The weight decay."""
        if self.weight_decay is not None:
            return self.weight_decay
        return WEIGHT_DECAYS[self.optimizer]

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step (from 0) of a training of so many."""
        rising = min(round(self.warmup * steps), steps - 1)
        if step < rising:
            return self.peak_rate * (step + 1) / (rising + 1)
        done = (step - rising) / max(1, steps - rising)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * done))

    def resolved(self, augment: Augment) -> Recipe:
        """The same with everything that was left open filled in."""
        return replace(
            self,
            learning_rate=self.peak_rate,
            weight_decay=self.decay,
            augment=self.augment or augment,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Recipe:
        """The recipe that ``as_dict`` wrote; raises ``UserError`` for a field it does not know."""
        known = {field.name for field in fields(cls)}
        values = dict(plain)
        for name in values:
            if name not in known:
                raise UserError(f"recipe: {name!r:.40} is no knob of this version")
        if isinstance(values.get("augment"), Mapping):
            try:
                values["augment"] = Augment(**values["augment"])
            except TypeError as error:
                raise UserError(f"recipe: augment {error}") from None
        try:
            return cls(**values)
        except TypeError as error:
            raise UserError(f"recipe: {error}") from None


def _check(name: str, value: object, fine: bool, range_in_words: str) -> None:
    if not fine:
        raise UserError(f"{name} {value}: it must be {range_in_words}")
