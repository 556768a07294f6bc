"""Names of the generated classes: the block's own, and what sets a variant of it apart.

``Bottleneck`` and ``BottleneckProjection``, ``ConvNormAct`` and ``ConvNormActPool``: only layers
that some variants of a kind have and others lack are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from .structure import Part

EXPECTED = {"add": "Shortcut", "expand": "Expansion"}
"""Layers that a reader expects, by what they mean: it is their absence that is told."""
SPECIAL = {"pool": "Pool", "se": "SqueezeExcitation", "shortcut": "Projection"}
"""Layers that a reader does not expect; of all others, the commonest variant decides."""


MOST_WORDS = 2
"""A variant that differs in more is numbered."""


def class_names(parts: Sequence[Part], taken: Iterable[str]) -> dict[tuple[object, ...], str]:
    """A class name for every signature among ``parts``, none of them in ``taken``."""
    frequency = Counter(part.signature for part in parts)
    variants: dict[str, dict[tuple[object, ...], Part]] = {}
    for part in parts:
        variants.setdefault(part.kind, {}).setdefault(part.signature, part)
    used, names = set(taken), {}
    for kind, group in variants.items():
        commonest = max(group.values(), key=lambda part: frequency[part.signature])
        stem = f"{kind}Block" if kind in used else kind
        for signature, part in group.items():
            words = list(_words(part, commonest, list(group.values())))
            name = stem + "".join(words if len(words) <= MOST_WORDS else [])
            names[signature] = next(free for free in _numbered(name) if free not in used)
            used.add(names[signature])
    return names


def _words(part: Part, commonest: Part, group: Sequence[Part]) -> Iterator[str]:
    """What the part has more or less than other variants of its kind; else a layer that differs."""
    mine, usual = _layers(part), _layers(commonest)
    everything = dict.fromkeys(name for other in group for name in _layers(other))
    varying = [n for n in everything if any(n not in _layers(other) for other in group)]
    told = False
    for name in varying:
        if name.rpartition("_")[0] in varying:
            continue  # the norm or activation of a layer that is told
        is_usual = name in EXPECTED or (name not in SPECIAL and name in usual)
        if (name in mine) != is_usual:
            told = True
            yield f"No{_word(name)}" if is_usual else _word(name)
    if not told and mine.keys() == usual.keys():
        yield from [mine[name] for name in mine if mine[name] != usual[name]][:1]


def _layers(part: Part) -> dict[str, str]:
    return {c.name: c.part.kind if c.part else type(c.op).__name__ for c in part.children}


def _word(name: str) -> str:
    known = (EXPECTED | SPECIAL).get(name)
    return known or "".join(word.capitalize() for word in name.split("_"))


def _numbered(name: str) -> Iterator[str]:
    yield name
    for i in count(2):
        yield f"{name}{i}"
