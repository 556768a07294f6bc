"""Files of fitted objectives: JSON with a version, every field checked, nothing ever executed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadFile
from .model import KINDS, Evidence, Fitted, Known, Link, Measure, Rank, Sum, Term

FORMAT = 1
"""Version of the file; it changes only when old files would be read as something else."""

MOST_BYTES = 8 * 2**20
"""Files larger than this are refused unread."""

DIGITS = 4
"""How many digits of the largest score of a sum are kept."""


# -- writing -----------------------------------------------------------------------------------
def to_json(fitted: Fitted) -> str:
    """The file of a fitted objective: one line per term, scores to ``DIGITS`` of the largest."""
    parts = [
        {"name": name, "choices": choices}
        for name, choices in zip(fitted.parts, fitted.score.known, strict=True)
    ]
    document = {
        "format": FORMAT,
        "name": fitted.name,
        "space": fitted.space,
        "target": fitted.target,
        "higher_is_better": fitted.higher_is_better,
        "origin": fitted.origin,
        "input": fitted.input,
        "classes": fitted.classes,
        "evidence": _evidence(fitted.evidence),
        "parts": parts,
        "link": {name: list(map(_short, getattr(fitted.link, name))) for name in _fields(Link)},
        "score": _sum(fitted.score),
        "measures": [
            {
                "device": measure.device,
                "kind": measure.kind,
                "evidence": _evidence(measure.evidence),
                "seconds": _sum(measure.seconds),
            }
            for measure in fitted.measures
        ],
    }
    return _lines(document) + "\n"


def _fields(cls: Any) -> list[str]:
    return [f.name for f in fields(cls)]


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return asdict(evidence)


def _sum(terms: Sum) -> dict[str, Any]:
    own = []
    largest = max((float(np.abs(term.scores).max()) for term in terms.terms), default=1.0)
    step = 10.0 ** (math.floor(math.log10(largest or 1.0)) - DIGITS + 1)
    for term in terms.terms:
        pair = {"before": term.before} if term.before else {}
        scores = _nested(term.scores, step)
        own.append({"part": term.part, **pair, "choices": term.choices, "scores": scores})
    return {"intercept": _short(terms.intercept), "terms": own}


def _nested(scores: Any, step: float) -> Any:
    if scores.ndim == 0:
        return _short(round(float(scores) / step) * step)
    return [_nested(row, step) for row in scores]


def _short(number: float) -> float:
    return float(f"{number:.5g}")


def _lines(value: Any, indent: str = "") -> str:
    """JSON broken into lines where one does not hold it, but never a term or a list of numbers."""
    flat = json.dumps(value)
    whole = isinstance(value, dict) and "choices" in value
    whole |= isinstance(value, list) and all(isinstance(each, float) for each in value)
    if len(indent) + len(flat) <= 120 or whole or not isinstance(value, dict | list):
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{json.dumps(name)}: {_lines(own, deeper)}" for name, own in value.items()]
    else:
        lines = [_lines(own, deeper) for own in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(deeper + line for line in lines)
    return f"{opening}\n{body}\n{indent}{closing}"


# -- reading -----------------------------------------------------------------------------------
def read_fitted(path: str | Path) -> Fitted:
    """The fitted objective in a file; raises ``BadFile`` naming the file, the field and why."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadFile(f"{path} is not text: it is no fitted objective, or damaged") from None
    return from_json(text, str(path))


def from_json(text: str, name: str = "objective") -> Fitted:
    """The fitted objective a text describes; ``name`` is what messages call it. Raises ``BadFile``:
    one line with the field and the way out."""
    try:
        if len(text) > MOST_BYTES:
            raise _Refusal(f"it is larger than {MOST_BYTES // 2**20} MB; no objective is")
        return _fitted(_Fields(json.loads(text, object_pairs_hook=_object), ""))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise BadFile(f"{name} is not JSON ({where}): it is damaged or cut short") from None
    except RecursionError:
        raise BadFile(f"{name} is nested deeper than any objective") from None
    except _Refusal as error:
        raise BadFile(f"{name}: {error}") from None
    except ValueError:  # an integer that Python refuses to read
        raise BadFile(f"{name} holds a number of thousands of digits; none is needed") from None


class _Refusal(Exception):
    """What is wrong with a field, before it is known in which file."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refusal("an object names a field twice; keep one")
    return found


class _Fields:
    """The fields of one object of a file, each taken once and checked."""

    def __init__(self, found: Any, path: str) -> None:
        if not isinstance(found, dict):
            raise _Refusal(f"{path or 'the file'} must be an object")
        self.found, self.path = dict(found), f"{path}." if path else ""

    def take(self, name: str, *kinds: type) -> Any:
        if name not in self.found:
            raise _Refusal(f"{self.path}{name} is missing; archsearch fit writes it")
        value = self.found.pop(name)
        if type(value) not in kinds:
            shown = json.dumps(value)[:40]
            wanted = " or ".join(_WORDS[kind] for kind in kinds)
            raise _Refusal(f"{self.path}{name} is {shown}; it must be {wanted}")
        return value

    def number(self, name: str) -> float:
        return _number(self.take(name, int, float), self.path + name)

    def count(self, name: str) -> int:
        value: int = self.take(name, int)
        if not 0 <= value < 2**53:
            raise _Refusal(f"{self.path}{name} is {str(value)[:40]}; it must be a count")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.take(name, list)
        if not all(isinstance(value, str) for value in values) or len(set(values)) < len(values):
            raise _Refusal(f"{self.path}{name} must be a list of different texts")
        return tuple(values)

    def inside(self, name: str) -> _Fields:
        return _Fields(self.take(name, dict), self.path + name)

    def each(self, name: str) -> list[_Fields]:
        values = self.take(name, list)
        return [_Fields(value, f"{self.path}{name}[{i}]") for i, value in enumerate(values)]

    def done(self) -> None:
        if self.found:
            unknown = next(iter(self.found))[:40]
            raise _Refusal(f"{self.path}{unknown} is no field there; leave it out")


_WORDS: Mapping[type, str] = {
    str: "a text", int: "an integer", float: "a number", bool: "true or false",
    list: "a list", dict: "an object",
}  # fmt: skip


def _fitted(own: _Fields) -> Fitted:
    if own.found.get("format") != FORMAT:
        raise _Refusal(f'"format": {FORMAT} is missing at its top: it is no fitted objective')
    own.take("format", int)
    words = {name: own.take(name, str) for name in ("name", "space", "target", "origin")}
    higher = own.take("higher_is_better", bool)
    shape = own.take("input", list)
    if not (2 <= len(shape) <= 4 and all(type(n) is int and n > 0 for n in shape)):
        raise _Refusal("input must be channels and one to three sizes")
    classes, evidence = own.count("classes"), _read_evidence(own.inside("evidence"))
    names, known = _read_parts(own.each("parts"))
    link = _read_link(own.inside("link"))
    if (link.values[0] < link.values[-1]) != higher:
        raise _Refusal("link.values must increase where higher_is_better, else decrease")
    score = _read_sum(own.inside("score"), known)
    measures = tuple(_read_measure(each, known) for each in own.each("measures"))
    own.done()
    return Fitted(
        **words, higher_is_better=higher, parts=names, score=score, link=link, evidence=evidence,
        input=tuple(shape), classes=classes, measures=measures,
    )  # fmt: skip


def _read_parts(parts: list[_Fields]) -> tuple[tuple[str, ...], Known]:
    names, known = [], []
    for part in parts:
        names.append(part.take("name", str))
        choices = part.inside("choices")
        known.append({path: choices.texts(path) for path in list(choices.found)})
        part.done()
    return tuple(names), tuple(known)


def _read_link(own: _Fields) -> Link:
    knots = {}
    for name in _fields(Link):
        values = own.take(name, list)
        knots[name] = tuple(_number(value, f"{own.path}{name}") for value in values)
    own.done()
    sums, values = knots["sums"], knots["values"]
    if len(sums) != len(values) or len(sums) < 2:
        raise _Refusal("link needs as many values as sums, at least two")
    falls = values[0] > values[1]
    if not _rises(sums) or not _rises(values[::-1] if falls else values):
        raise _Refusal("link.sums must increase, link.values all increase or all decrease")
    return Link(sums, values)


def _rises(numbers: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


def _read_measure(own: _Fields, known: Known) -> Measure:
    device, kind = own.take("device", str), own.take("kind", str)
    if kind not in KINDS:
        raise _Refusal(f"{own.path}kind is {kind[:40]!r}; it must be {' or '.join(KINDS)}")
    evidence = _read_evidence(own.inside("evidence"))
    seconds = _read_sum(own.inside("seconds"), known)
    own.done()
    return Measure(device, kind, seconds, evidence)


def _read_evidence(own: _Fields) -> Evidence:
    networks, folds, repeats, seed = map(own.count, ("networks", "folds", "repeats", "seed"))
    rank = _read_rank(own.inside("rank"))
    error, error_90 = own.number("error"), own.number("error_90")
    baselines = own.inside("baselines")
    others = {name: _read_rank(baselines.inside(name)) for name in list(baselines.found)}
    table = own.take("table", str)
    own.done()
    return Evidence(networks, folds, repeats, seed, rank, error, error_90, others, table)


def _read_rank(own: _Fields) -> Rank:
    rank = Rank(**{name: own.number(name) for name in _fields(Rank)})
    own.done()
    return rank


def _read_sum(own: _Fields, known: Known) -> Sum:
    intercept = own.number("intercept")
    terms = tuple(_read_term(term, known) for term in own.each("terms"))
    own.done()
    return Sum(known, terms, intercept)


def _read_term(own: _Fields, known: Known) -> Term:
    part, choices = own.count("part"), own.texts("choices")
    before = own.texts("before") if "before" in own.found else ()
    if part >= len(known) or (before and part == 0):
        raise _Refusal(f"{own.path}part is {part}; there are {len(known)} parts")
    shape = []
    for place, paths in ((part - 1, before), (part, choices)):
        for path in paths:
            if path not in known[place]:
                raise _Refusal(f"{own.path[:-1]} names {path[:40]!r}, which part {place} has not")
            shape.append(len(known[place][path]))
    scores = _read_scores(own.take("scores", list), shape, own.path + "scores")
    own.done()
    return Term(part, choices, np.array(scores, dtype=np.float64), before)


def _read_scores(value: Any, shape: Sequence[int], path: str) -> Any:
    """Nested lists of numbers of a known shape."""
    if not shape:
        return _number(value, path)
    if not isinstance(value, list) or len(value) != shape[0]:
        raise _Refusal(f"{path} must be a list with one entry for each of {shape[0]} values")
    return [_read_scores(each, shape[1:], path) for each in value]


def _number(value: Any, path: str) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:  # false for NaN too
        raise _Refusal(f"{path} is {json.dumps(value)[:40]}; it must be a number")
    return float(value)
