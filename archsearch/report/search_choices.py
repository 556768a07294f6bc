"""The picture of which choices matter to a search: a column of bars for each goal."""

from __future__ import annotations

from collections.abc import Sequence

from ..trials import Goal
from . import svg
from .importance import Importances
from .numbers import percent
from .picture import WIDTH, colour
from .search_words import goal_label, value_text

MOST = 16
"""Choices that have a bar."""

STEP = 24.0


def choices_picture(found: Sequence[tuple[Goal, Importances]]) -> str:
    """For every goal the shares of its variance that choices explain, with the best value of
    each: the largest shares of any goal, in the order of the first one."""
    shares: dict[str, float] = {}
    for _, own in found:
        for each in own.choices:
            shares[each.choice] = max(shares.get(each.choice, 0.0), each.share)
    chosen = sorted(shares, key=lambda name: -shares[name])[:MOST]
    first = {each.choice: each.share for each in found[0][1].choices}
    chosen.sort(key=lambda name: -first.get(name, 0.0))
    left, top = 22 + 6.6 * max(map(len, chosen)), 44.0
    parts = [
        svg.text(left - 12, top + i * STEP + 13, name, "small", "end")
        for i, name in enumerate(chosen)
    ]
    room = (WIDTH - left) / len(found)
    longest = max(max(shares.values()), 1e-9)
    for k, (goal, own) in enumerate(found):
        parts += _column(goal, own, chosen, left + k * room, room, longest, colour(k))
    label = "which choices matter"
    return svg.drawing(WIDTH, top + STEP * len(chosen) + 6, parts, label)


def _column(
    goal: Goal,
    own: Importances,
    chosen: Sequence[str],
    x: float,
    room: float,
    longest: float,
    css: str,
) -> list[str]:
    parts = [
        svg.text(x, 16, goal_label(goal), "strong", "start"),
        svg.text(x, 32, known(own), "tiny", "start"),
    ]
    by_name = {each.choice: each for each in own.choices}
    for i, name in enumerate(chosen):
        each = by_name.get(name)
        if each is None:
            continue
        y = 44.0 + i * STEP
        length = max((room - 190) * each.share / longest, 1.0)
        gain = f"x {each.effect:.3g}" if own.logarithmic else value_text(goal, each.effect)
        title = f"{name}: best {each.best}, worst {each.worst}, {gain} between them"
        parts.append(svg.rect(x, y, length, STEP - 7, css, 3, title))
        words = f"{_share(each.share)}, best {_cut(each.best)}"
        parts.append(svg.text(x + length + 6, y + 13, words, "small", "start"))
    return parts


def known(own: Importances) -> str:
    """How far what is said can be believed."""
    if own.predicted <= 0:
        return f"{own.trials:,} trials are too few to tell"
    return f"foresees {percent(own.predicted)} of the variance of {own.trials:,} trials"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _cut(text: str) -> str:
    return text if len(text) <= 18 else f"{text[:15]}..."
