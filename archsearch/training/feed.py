"""Batches of a split on a device: one copy there where it fits, else decoded ahead of their use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.dataset import Split

IntArray = npt.NDArray[np.int64]

AHEAD = 3
"""Batches that are made while the device works on another."""

SHARE = 0.25
"""The part of a GPU's free memory that pictures may take, so that they are copied there once."""


class Feed:
    """The pictures of a split, as uint8 batches (n, channels, height, width) with labels."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.images, self.device = split.images, device
        self.labels = torch.from_numpy(split.labels).to(device)
        pixels = getattr(split.images, "pixels", None)
        self._resident: Tensor | None = None
        if isinstance(pixels, np.ndarray) and _fits(pixels.nbytes, device):
            self._resident = torch.from_numpy(pixels).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, indices: Iterable[IntArray]) -> Iterator[tuple[Tensor, Tensor]]:
        """For every array of indices its pictures and labels, in order."""
        if self._resident is not None:
            for chosen in indices:
                places = torch.from_numpy(chosen).to(self.device)
                yield self._resident[places], self.labels[places]
            return
        with ThreadPoolExecutor(1) as pool:
            waiting: list[tuple[IntArray, Future[Tensor]]] = []
            for chosen in indices:
                waiting.append((chosen, pool.submit(self._made, chosen)))
                if len(waiting) > AHEAD:
                    yield self._moved(*waiting.pop(0))
            for item in waiting:
                yield self._moved(*item)

    def _made(self, chosen: IntArray) -> Tensor:
        batch = torch.from_numpy(self.images.batch(chosen))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def _moved(self, chosen: IntArray, batch: Future[Tensor]) -> tuple[Tensor, Tensor]:
        places = torch.from_numpy(chosen).to(self.device)
        return batch.result().to(self.device, non_blocking=True), self.labels[places]


def in_order(count: int, batch_size: int) -> list[IntArray]:
    """All of so many pictures, in order."""
    everything = np.arange(count, dtype=np.int64)
    return [everything[i : i + batch_size] for i in range(0, count, batch_size)]


def shuffled(count: int, batch_size: int, seed: int, epoch: int) -> list[IntArray]:
    """The batches of an epoch: every picture once, but for those that fill no whole batch; which
    ones these are changes from epoch to epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int64)
    whole = max(1, count // batch_size)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(whole)]


def _fits(size: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type == "cpu"
    free, _ = torch.cuda.mem_get_info(device)
    return size <= SHARE * free
