"""The evaluation loop: what a network answers to all pictures of a split."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .augment import Augmenter
from .devices import autocast
from .feed import Feed, in_order

BATCH_SIZE = 512


@torch.no_grad()
def predict(
    net: nn.Module,
    feed: Feed,
    normaliser: Augmenter,
    numbers: torch.dtype = torch.float32,
    batch_size: int = BATCH_SIZE,
) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) as float32 and labels (n,), both on the CPU, in the split's order.

    The network is in evaluation mode inside, and afterwards in the mode it was in.
    """
    training = net.training
    net.eval()
    answers, truth = [], []
    try:
        for images, labels in feed.batches(in_order(len(feed), batch_size)):
            with autocast(feed.device, numbers):
                answers.append(net(normaliser(images, None)).float())
            truth.append(labels)
    finally:
        net.train(training)
    return torch.cat(answers).cpu(), torch.cat(truth).cpu()
