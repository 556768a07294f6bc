"""The training loop: one network, one split, one recipe, one seed.

A step is a pure function of weights, seed and step number: order, augmentation, mixing and dropout
all draw from generators seeded by these. So a training that was cut off anywhere goes on from its
last checkpoint to the result it would have had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from ..data.dataset import Data
from .augment import Augment, Augmenter
from .average import WeightAverage
from .devices import Place, autocast, layout, number_format, on
from .evaluation import predict
from .feed import Feed, shuffled
from .metrics import judge
from .mix import mix
from .optimiser import make_optimiser, optimiser_tensors, restore_optimiser
from .recipe import Recipe

Row = dict[str, Any]
"""What an epoch came to: "epoch", "step", "seconds", "learning_rate", "train_loss",
"train_accuracy", "validation_loss", "validation_accuracy", "pictures_per_second"."""

FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"

CHECK_EVERY = 50
"""Steps between two looks at the loss on a GPU, which each wait for it."""


@dataclass
class Tally:
    """Sums over the pictures of an epoch so far, on the device."""

    pictures: int = 0
    loss: Tensor | float = 0.0
    right: Tensor | float = 0.0

    def add(self, loss: Tensor, right: Tensor, count: int) -> None:
        self.pictures += count
        self.loss = self.loss + loss.detach().double() * count
        self.right = self.right + right.double()


@dataclass
class Training:
    """A training as it stands: ``step`` says how many steps are done, ``history`` the epochs.

    ``data`` must not change between a checkpoint and what goes on from it. With several processes
    every one holds a ``Training`` of its own, of the same seed. ``until`` is a step before the end
    at which ``run`` returns: the state is then that of a training that was stopped.
    """

    net: nn.Module
    data: Data
    recipe: Recipe
    seed: int = 0
    place: Place = field(default_factory=lambda: Place(torch.device("cpu")))
    teacher: nn.Module | None = None
    step: int = 0
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)
    state: str = STOPPED
    reason: str = ""
    until: int | None = None

    def __post_init__(self) -> None:
        self.recipe.check_parts(self.place.processes)
        data, device = self.data, self.place.device
        standard = Augment.standard(data.shape, data.mirrored, data.resized)
        self.recipe = self.recipe.resolved(standard)
        assert self.recipe.augment is not None
        self.numbers = number_format(self.recipe, device)
        memory = layout(device, self.net, self.recipe.channels_last)
        on(device, self.net, memory).train()
        if self.teacher is not None:
            on(device, self.teacher, memory).eval().requires_grad_(False)
        make = (data.mean, data.deviation, device, torch.float32, memory)
        self.augmenter = Augmenter(self.recipe.augment, *make)
        self.normaliser = Augmenter(Augment(), *make)
        self.feed = Feed(data.train, device)
        self.validation = Feed(data.validation, device) if self.place.leads else None
        self.generator = torch.Generator(device)
        self.optimiser = self._make_optimiser()
        self.average = WeightAverage(self.net, self.recipe.ema) if self.recipe.ema else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.numbers == torch.float16)
        self.tally = Tally()
        self._model = self._make_model()

    def _make_optimiser(self) -> torch.optim.Optimizer:
        return make_optimiser(self.net, self.recipe)

    def _make_model(self) -> nn.Module:
        """What is called in training: the network, compiled and shared by processes as asked."""
        model = self.net
        if self.recipe.compile:
            model = cast("nn.Module", torch.compile(self.net))
        return DistributedDataParallel(model) if self.place.processes > 1 else model

    # -- what it is ----------------------------------------------------------------------------
    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.data.train) // self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epoch_steps * self.recipe.epochs

    @property
    def result(self) -> nn.Module:
        """The network that counts: the running mean of the weights, or the weights themselves."""
        return self.average.net if self.average is not None else self.net

    # -- training ------------------------------------------------------------------------------
    def run(
        self,
        on_epoch: Callable[[Row], None] = lambda row: None,
        on_step: Callable[[Training], None] = lambda training: None,
    ) -> str:
        """Train to the end, and return how it ended (``state``; ``reason`` says more).

        ``on_step`` is called after every step, ``on_epoch`` after every epoch with its row. What
        they raise, and ``KeyboardInterrupt``, ends the training between two steps.
        """
        self.state = STOPPED
        end = self.steps if self.until is None else min(self.until, self.steps)
        while self.step < end and self.state != DIVERGED:
            self._epoch(on_epoch, on_step)
        if self.state != DIVERGED and self.step >= self.steps:
            self.state = FINISHED
        return self.state

    def _epoch(self, on_epoch: Callable[[Row], None], on_step: Callable[[Training], None]) -> None:
        epoch, done = divmod(self.step, self.epoch_steps)
        size, rank, processes = self.recipe.batch_size, self.place.rank, self.place.processes
        order = shuffled(len(self.feed), size, self.seed, epoch)[done:]
        start, before, seen = time.perf_counter(), self.seconds, self.tally.pictures
        self._model.train()
        for images, labels in self.feed.batches(batch[rank::processes] for batch in order):
            self._step(images, labels)
            if self._diverged():
                return
            self.step += 1
            self.seconds = before + time.perf_counter() - start
            if self.step % self.epoch_steps == 0:
                pictures = (self.tally.pictures - seen) * processes
                if not self._close_epoch(epoch + 1, pictures / (self.seconds - before)):
                    return
                self.seconds = before + time.perf_counter() - start
                on_epoch(self.history[-1])
            on_step(self)

    def _close_epoch(self, epoch: int, speed: float) -> bool:
        """Record an epoch whose last step is done, before anybody can take a checkpoint of it;
        False where its last steps left no network that answers with numbers."""
        row = self._row(epoch, speed)
        if row.get("validation_loss", 0.0) is None or not _finite(self.net):
            self._diverges("nan", epoch)
            return False
        self.history.append(row)
        self.tally = Tally()
        return True

    def _step(self, images: Tensor, labels: Tensor) -> None:
        recipe, step_seed = self.recipe, mixed_seed(self.seed, self.step, self.place.rank)
        _seed_dropout(step_seed, self.place.device)
        self.generator.manual_seed(step_seed)
        rate = recipe.rate(self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        parts = min(recipe.accumulate, len(images))
        for some, own in zip(images.chunk(parts), labels.chunk(parts), strict=True):
            loss, right = self._learn(some, own, len(some) / len(images))
            self.tally.add(loss, right, len(some))
        self._update()

    def _learn(self, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Leave the gradients of a batch, whose loss counts ``share``; its mean loss, and how many
        of its pictures are told rightly."""
        x, targets = self._prepared(images, labels)
        with autocast(self.place.device, self.numbers):
            logits = self._model(x)
            hints = self.teacher(x) if self.teacher is not None else None
        logits = logits.float()
        loss = self._cross_entropy(logits, targets)
        if hints is not None:
            weight = self.recipe.distillation
            taught = distillation_loss(logits, hints.float(), self.recipe.temperature)
            loss = (1 - weight) * loss + weight * taught
        self.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        return loss, (logits.detach().argmax(1) == labels).sum()

    def _prepared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures as the network reads them, augmented and mixed, and what it is to answer."""
        recipe = self.recipe
        x = self.augmenter(images, self.generator)
        if not (recipe.mixup or recipe.cutmix):
            return x, labels
        classes = len(self.data.classes)
        return mix(x, labels, classes, recipe.mixup, recipe.cutmix, 0.0, self.generator)

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)

    def _update(self) -> None:
        """One step of the optimiser with the gradients that were left."""
        self._step_optimiser(self.net.parameters())
        if self.average is not None:
            self.average.update(self.step)

    def _step_optimiser(self, parameters: Iterable[Tensor]) -> None:
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _diverged(self) -> bool:
        """Whether the loss is no number any more; then nothing is trained further."""
        on_cpu = self.place.device.type == "cpu"
        if not on_cpu and (self.step + 1) % CHECK_EVERY and (self.step + 1) % self.epoch_steps:
            return False
        loss = float(self.tally.loss)
        if not math.isfinite(loss):
            self._diverges(str(loss), self.step // self.epoch_steps + 1)
        return self.state == DIVERGED

    def _diverges(self, loss: str, epoch: int) -> None:
        self.state = DIVERGED
        self.reason = (
            f"the loss became {loss} in epoch {epoch}; a smaller learning rate than"
            f" {self.recipe.peak_rate:g} may help"
        )

    def _row(self, epoch: int, speed: float) -> Row:
        pictures, loss, right = self._totals()
        row: Row = {
            "epoch": epoch,
            "step": self.step,
            "seconds": self.seconds,
            "learning_rate": self.recipe.rate(self.step - 1, self.steps),
            "train_loss": loss / pictures,
            "train_accuracy": right / pictures,
            "pictures_per_second": speed,
        }
        if self.validation is not None and len(self.validation):
            row |= self._judged(self.validation)
        return row

    def _judged(self, validation: Feed) -> Row:
        """What an epoch's row says of the validation pictures."""
        logits, labels = self.predict(validation)
        judged = judge(logits, labels, self.data.classes)
        return {"validation_loss": judged.loss, "validation_accuracy": judged.accuracy}

    def _totals(self) -> tuple[float, float, float]:
        """Pictures, loss and right answers of the epoch, summed over all processes."""
        sums = [float(self.tally.pictures), float(self.tally.loss), float(self.tally.right)]
        if self.place.processes > 1:
            everywhere = torch.tensor(sums, dtype=torch.float64, device=self.place.device)
            torch.distributed.all_reduce(everywhere)
            sums = everywhere.tolist()
        return sums[0], sums[1], sums[2]

    def predict(self, feed: Feed) -> tuple[Tensor, Tensor]:
        """Logits and labels of a split, by the network that counts; float32 on the CPU."""
        return predict(self.result, feed, self.normaliser, self.numbers)

    # -- checkpoints ---------------------------------------------------------------------------
    def tensors(self) -> dict[str, Tensor]:
        """Everything that was learnt: "model.*", "average.*" and "optimiser.*"."""
        found = {f"model.{name}": tensor for name, tensor in self.net.state_dict().items()}
        if self.average is not None:
            own = self.average.net.state_dict()
            found |= {f"average.{name}": tensor for name, tensor in own.items()}
        for name, tensor in optimiser_tensors(self.net, self.optimiser):
            found[f"optimiser.{name}"] = tensor
        return found

    def facts(self) -> dict[str, Any]:
        """The rest of what a training needs to go on, as JSON data."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "tally": [self.tally.pictures, float(self.tally.loss), float(self.tally.right)],
            "scaler": self.scaler.state_dict(),
            "state": self.state,
            "reason": self.reason,
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go back to what ``tensors`` and ``facts`` were taken from; raises ``RuntimeError``,
        ``KeyError``, ``TypeError`` or ``ValueError`` where they are of another training."""
        step = int(facts["step"])
        if not 0 <= step <= self.steps:
            raise ValueError(f"step {step} of {self.steps}")
        self.net.load_state_dict(below("model.", tensors))
        if self.average is not None:
            self.average.net.load_state_dict(below("average.", tensors))
        restore_optimiser(self.net, self.optimiser, below("optimiser.", tensors))
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])
        self.step, self.seconds = step, float(facts["seconds"])
        self.history = [dict(row) for row in facts["history"]]
        self.tally = Tally(*facts["tally"])
        self.state, self.reason = facts["state"], facts["reason"]


def distillation_loss(logits: Tensor, hints: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened answers to the network's, times
    temperature squared (Hinton et al. 2015); both of shape (n, classes)."""
    own = functional.log_softmax(logits / temperature, dim=1)
    taught = functional.log_softmax(hints / temperature, dim=1)
    divergence = functional.kl_div(own, taught, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def _finite(net: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in net.parameters())


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed what layers draw from. On a CPU that is one generator, without the record of the call
    stack that ``torch.manual_seed`` keeps for a GPU: it takes longer than a small step may."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def mixed_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for one step of one process: neighbouring ones have nothing in common
    (the finaliser of SplitMix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    value = (
        seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB
    ) & mask
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ (value >> shift)) * factor) & mask
    return (value ^ (value >> 31)) >> 1
