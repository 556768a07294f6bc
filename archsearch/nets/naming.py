"""Names of the generated classes: the block's own, and what sets a variant of it apart.

``Bottleneck`` and ``BottleneckProjection``, ``ConvNormAct`` and ``ConvNormActPool``: only layers
that some variants of a kind have and others lack are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, count
from typing import TypeAlias

from .structure import Part

SPECIAL = {"pool": "Pool", "se": "SE", "shortcut": "Projection", "attention": "Attention"}
"""Layers that a reader does not expect, by what they mean."""
EXPECTED = {"add": "Shortcut", "expand": "Expansion"}
"""Layers that a reader expects: it is their absence that is told. Of all others, the commonest
variant decides."""

Layers: TypeAlias = dict[str, str]
"""The layers of a variant by name, and what kind they are of."""

MOST_WORDS = 2
"""A variant that differs in more is told by two, or one, that others lack."""


def class_names(groups: Sequence[Sequence[Part]], taken: Iterable[str]) -> list[str]:
    """A class name for every group of instances, none of them in ``taken``."""
    kinds: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        kinds.setdefault(group[0].kind, []).append(i)
    used, names = set(taken), [""] * len(groups)
    for kind, places in kinds.items():
        stem = f"{kind}Block" if kind in used else kind
        places = sorted(places, key=lambda i: -len(groups[i]))
        found = _variant_names(stem, [_layers(groups[i][0]) for i in places], used)
        for i, name in zip(places, found, strict=True):
            names[i] = name
    return names


def _variant_names(stem: str, variants: list[Layers], used: set[str]) -> list[str]:
    """The names of the variants of a kind, the commonest first; they are added to ``used``."""
    words = _words(variants)
    names: dict[str, int] = {}
    for i in sorted(range(len(variants)), key=lambda i: len(words[i]) > MOST_WORDS):
        plain = stem + "".join(words[i])
        unlike = _unlike(variants[i], variants[names[plain]]) if plain in names else []
        name = next(name for name in _candidates(stem, words[i], unlike) if name not in used)
        names[name] = i
        used.add(name)
    return sorted(names, key=lambda name: names[name])


def _candidates(stem: str, words: list[str], unlike: list[str]) -> Iterator[str]:
    if len(words) <= MOST_WORDS:
        yield stem + "".join(words)
        yield from (stem + "".join([*words, kind]) for kind in unlike)
    for length in range(1, MOST_WORDS + 1):
        yield from (stem + "".join(few) for few in combinations(words, length))
    for i in count(2):
        yield f"{stem}{i}"


def _unlike(mine: Layers, other: Layers) -> list[str]:
    """The kinds of layers where another variant has one of another kind."""
    kinds = [mine[name] for name in mine if mine[name] != other.get(name, mine[name])]
    return ["Plain" if kind == "Convolution" else kind for kind in kinds]


def _words(variants: Sequence[Layers]) -> list[list[str]]:
    """What every variant has more or less than others, or than the first."""
    everything = list(dict.fromkeys(name for mine in variants for name in mine))
    varying = {n for n in everything if len({mine.get(n) for mine in variants}) > 1}
    patterns: dict[tuple[bool, ...], str] = {}
    for name in sorted(everything, key=_familiarity):
        pattern = tuple(name in mine for mine in variants)
        if all(pattern) or name.rpartition("_")[0] in varying:
            continue  # the norm or activation of a layer that is told
        if tuple(not has for has in pattern) not in patterns:
            patterns.setdefault(pattern, name)  # what comes and goes together is told once
    telling = [name for name in everything if name in patterns.values()]
    usual = {n for n in telling if n in EXPECTED or (n not in SPECIAL and n in variants[0])}
    return [
        [
            f"No{_word(n)}" if n in usual else _word(n)
            for n in telling
            if (n in mine) != (n in usual)
        ]
        for mine in variants
    ]


def _familiarity(name: str) -> int:
    return 0 if name in SPECIAL else 1 if name in EXPECTED else 2


def _layers(part: Part) -> Layers:
    return {c.name: c.part.kind if c.part else type(c.op).__name__ for c in part.children}


def _word(name: str) -> str:
    known = (EXPECTED | SPECIAL).get(name)
    return known or "".join(word.capitalize() for word in name.split("_"))
