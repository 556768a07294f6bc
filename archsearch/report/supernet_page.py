"""``ranking.html``: one self-contained page on what a supernet's ranking is worth."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from ..supernet.ranking import INHERITED, LIVE_MACS, Correlation, Ranking
from ..trials import FloatArray, Goal
from . import svg
from .html import card_row, document, printable, section, table, terms, wide
from .numbers import exact
from .picture import WIDTH
from .search_axes import Axis, frame, goal_axis
from .search_page import STYLE
from .supernet_text import (
    HEADER,
    ceiling_line,
    cells,
    interval,
    label,
    ordered,
    pick_line,
    place,
    tau,
    verdict,
)
from .training_text import share

KEY_SHOWN = 6
"""Digits of a key in a picture."""

ROW, TOP, LEFT_EDGE = 30.0, 26.0, 190.0
"""Pixels of a line of the picture of taus, above it, and beside it."""

MORE_STYLE = """
svg .whisker { stroke: var(--accent); stroke-width: 2.4; stroke-linecap: round; }
svg .whisker.half { stroke: var(--second); }
svg .point.half { fill: var(--second); }
tr:target td { background: var(--between); }
"""


def ranking_page(name: str, record: Mapping[str, Any], ranking: Ranking) -> str:
    """The page; ``name`` is the run's, ``record`` what ranking.json holds."""
    title = printable(f"How well the supernet {name} ranks")
    first, *others = verdict(ranking)
    told = ". ".join(_sentence(text) for text in [*others, pick_line(ranking)])
    sections = [
        f"<header><h1>{escape(title)}</h1><p>{escape(_subtitle(record, ranking))}</p></header>",
        card_row(_cards(ranking)),
        f'<p class="proof">{escape(first)}. <span>{escape(printable(told))}. '
        f"{escape(_sentence(ceiling_line(ranking)))}.</span></p>",
        section("Inherited and stand-alone accuracy", _clouds(ranking), CLOUDS),
        section("Kendall's tau of all scores", wide(_taus(ranking)), TAUS),
        section("As numbers", wide(_numbers(ranking)), NUMBERS),
        section("The members", wide(_members(ranking))),
        section("How it was made", terms(_origin(record))),
    ]
    return document(title, sections, STYLE + MORE_STYLE)


CLOUDS = (
    "A point is a member of the space that was also trained by itself; a click shows it in the"
    " table below. Filled ones are the better half: those above the dashed line, the median."
)
TAUS = (
    "Kendall's tau-b between a score and stand-alone accuracy, with the interval that holds 95 % of"
    " the resamples (percentile bootstrap over members): above over all members, below, in the"
    " second colour, over the better half of them."
)
NUMBERS = (
    "The pick is the member that a score puts first (of several, their mean); its rank is that by"
    " stand-alone accuracy, its regret what it lacks to the best, in percentage points."
)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _subtitle(record: Mapping[str, Any], ranking: Ranking) -> str:
    words = [f"{len(ranking.members)} members of space {record['space']}"]
    words += [f"within {', '.join(record['budgets'])}"] if record.get("budgets") else []
    return printable(", ".join([*words, f"data {record['data']}"]))


def _cards(ranking: Ranking) -> list[tuple[str, str]]:
    own, macs = ranking.ranked[INHERITED], ranking.ranked[LIVE_MACS]
    cards = [
        (tau(own.everything.kendall), "Kendall's tau"),
        (tau(own.better.kendall), "in the better half"),
        (tau(macs.everything.kendall), "of live MACs"),
        (tau(macs.better.kendall), "of live MACs, better half"),
        (place(own.pick), "rank of its pick"),
    ]
    if ranking.ceiling is not None:
        cards.append((tau(ranking.ceiling.correlation.kendall), "between two seeds"))
    return cards


# -- accuracies against scores -----------------------------------------------------------------
def _clouds(ranking: Ranking) -> str:
    return "".join(wide(_cloud(ranking, name)) for name in (INHERITED, LIVE_MACS))


def _cloud(ranking: Ranking, name: str) -> str:
    """Members by a score and by stand-alone accuracy."""
    height = 400.0
    goal = Goal(name, known=True)
    x = _axis(goal, ranking.scores[name], label(name), (70.0, WIDTH - 24))
    alone = Goal("stand-alone accuracy")
    y = _axis(alone, ranking.accuracies, alone.name, (height - 52, 34.0))
    median = y.pixel(float(np.median(ranking.accuracies)))
    parts = [*frame(x, y), svg.line(x.start, median, x.end, median, "reference-line")]
    best = ranking.accuracies == ranking.accuracies.max()
    picked = ranking.scores[name] == ranking.scores[name].max()
    for i, member in enumerate(ranking.members):
        value, accuracy = float(ranking.scores[name][i]), float(ranking.accuracies[i])
        place = x.pixel(value), y.pixel(accuracy)
        words = f"{member.key}: {label(name)} {x.words(value)}, by itself {y.words(accuracy)}"
        css = "point" if ranking.better[i] else "point stopped"
        drawn = svg.rect(place[0] - 5, place[1] - 5, 10, 10, css, 5, printable(words))
        parts.append(f'<a href="#{_anchor(member.key)}">{drawn}</a>')
        for what, is_it, lower in (("best", best[i], -10.0), ("pick", picked[i], 19.0)):
            if is_it:
                text = f"{what}: {printable(member.key[:KEY_SHOWN])}"
                side = "end" if place[0] > (x.start + x.end) / 2 else "start"
                parts.append(svg.text(place[0], place[1] + lower, text, "reference-text", side))
    return svg.drawing(WIDTH, height, parts, f"stand-alone accuracy against {label(name)}")


def _axis(goal: Goal, values: FloatArray, words: str, ends: tuple[float, float]) -> Axis:
    known = values[np.isfinite(values)]
    return replace(goal_axis(goal, known.tolist(), *ends), label=words)


def _anchor(key: str) -> str:
    return escape(f"member-{key}")


# -- taus --------------------------------------------------------------------------------------
def _taus(ranking: Ranking) -> str:
    """A line for each score: tau over all members and over the better half, with intervals."""
    names = ordered(ranking)
    both = [(own.everything, own.better) for own in map(ranking.ranked.__getitem__, names)]
    lowest = min(0.0, *(own.low for pair in both for own in pair))
    bottom = TOP + ROW * len(names)
    axis = Axis("", tau, lowest, 1.0, LEFT_EDGE, WIDTH - 24)
    parts = []
    for value in axis.ticks():
        across = axis.pixel(value)
        parts.append(svg.line(across, TOP - 6, across, bottom, "axis" if not value else "grid"))
        parts.append(svg.text(across, TOP - 12, tau(value), "small"))
    for i, (name, (everything, better)) in enumerate(zip(names, both, strict=True)):
        up = TOP + ROW * i + ROW / 2
        parts.append(svg.text(LEFT_EDGE - 14, up + 4, printable(label(name)), "small", "end"))
        parts += _whisker(axis, up - 4, everything, f"{label(name)}, all", "")
        parts += _whisker(axis, up + 5, better, f"{label(name)}, better half", " half")
    return svg.drawing(WIDTH, bottom + 6, parts, "Kendall's tau of all scores, with intervals")


def _whisker(axis: Axis, up: float, own: Correlation, words: str, css: str) -> list[str]:
    title = f"{words}: {tau(own.kendall)} ({interval(own)})"
    across = axis.pixel(own.kendall)
    return [
        svg.line(axis.pixel(own.low), up, axis.pixel(own.high), up, f"whisker{css}"),
        svg.rect(across - 4, up - 4, 8, 8, f"point{css}", 4, printable(title)),
    ]


# -- tables ------------------------------------------------------------------------------------
def _numbers(ranking: Ranking) -> str:
    body = [[escape(printable(c)) for c in cells(ranking, name)] for name in ordered(ranking)]
    return table(HEADER, body)


def _members(ranking: Ranking) -> str:
    """Every member, the best by itself first."""
    shown = [INHERITED, LIVE_MACS, *(["params"] if "params" in ranking.scores else [])]
    body = []
    for i in np.argsort(-ranking.accuracies, kind="stable").tolist():
        member = ranking.members[i]
        values = [share(float(ranking.scores[INHERITED][i]))]
        values += [exact(float(ranking.scores[name][i])) for name in shown[1:]]
        choices = ", ".join(f"{name} {text}" for name, text in member.choices.items())
        numbers = [share(float(ranking.accuracies[i])), str(len(member.accuracies)), *values]
        anchored = f'<span id="{_anchor(member.key)}">{escape(printable(member.key))}</span>'
        body.append([anchored, *map(escape, numbers), escape(printable(choices))])
    header = ["member", "by itself", "trainings", *map(label, shown), "choices"]
    return table(header, body)


def _origin(record: Mapping[str, Any]) -> dict[str, str]:
    rows = {
        "command": shlex.join(record["command"]) or "from Python",
        "trained members": ", ".join(record["standalone"]),
        "seed": str(record["seed"]),
        "made": str(record["created"]),
        **{name: str(version) for name, version in record["versions"].items()},
    }
    return {name: printable(text) for name, text in rows.items()}
