"""What changes nothing, at least in evaluation: dropout, copies, padding by nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...operators.dropout import Dropout
from ..reader import Functions, Layers, Reader, as_view
from ..steps import CannotMap, View
from .settings import DIMENSIONS


def _dropout(reader: Reader, x: View, p: float = 0.5, training: Any = True) -> View:
    if training is False or p == 0:
        return as_view(x)
    if training is True and reader.call.module is None:
        raise CannotMap("dropout in evaluation too; give training=self.training")
    return reader.on(x, Dropout(float(p)))


def _no_channel_dropout(reader: Reader, x: View, p: float = 0.5, training: Any = True) -> View:
    if training is False or p == 0:
        return as_view(x)
    raise CannotMap("dropout of whole channels; only that of single numbers is known")


def _pad(reader: Reader, x: View, pad: Sequence[int], *_: Any, **__: Any) -> View:
    if any(pad):
        raise CannotMap("padding by itself; let the layer behind it pad")
    return x


def _same(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    return as_view(x)


def _copy(reader: Reader, x: View, *_: Any, **__: Any) -> View:
    reader.storages += 1
    return replace(as_view(x), storage=reader.storages)


FUNCTIONS: Functions = {
    "dropout": _dropout,
    **{f"dropout{n}d": _no_channel_dropout for n in DIMENSIONS},
    "pad": _pad,
    **dict.fromkeys(("contiguous", "identity"), _same),
    "clone": _copy,
}

LAYERS: Layers = {
    "Dropout": ("dropout", ("p",)),
    **{f"Dropout{n}d": (f"dropout{n}d", ("p",)) for n in DIMENSIONS},
    "Identity": ("identity", ()),
}
