"""``report.html`` of a search: one self-contained page, without scripts or outside requests."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

from ..trials import Goal, Trial
from .genealogy import STYLE as GENEALOGY_STYLE
from .genealogy import genealogy
from .html import card_row, document, printable, section, table, terms, wide
from .importance import Importances, importances
from .numbers import cost_label, exact
from .search_choices import choices_picture
from .search_cloud import COSTS, Cloud, Reference
from .search_front import anchor, front_pictures
from .search_networks import network_panels, shown_trials
from .search_networks import style as networks_style
from .search_progress import MOMENTS, progress_pictures
from .search_tally import Tally
from .search_text import spread, trial_cells
from .search_words import (
    STATES,
    best_trials,
    counted,
    goal_label,
    is_cost,
    named_values,
    numbers_text,
    reason_text,
    value_text,
)
from .training_text import duration

MOST_ROWS = 40
"""Rows of the table of the best networks."""

MOST_REASONS = 25

STYLE = """
svg .dots { fill: none; stroke: var(--soft); stroke-width: 5; stroke-linecap: round; opacity: .45; }
svg .dots.stopped { stroke: var(--second); stroke-width: 4; }
svg .dots.faint { stroke-width: 3.5; opacity: .35; }
svg .failed { fill: none; stroke: var(--second); stroke-width: 1; }
svg .front { fill: none; stroke: var(--accent); stroke-width: 1.6; stroke-linejoin: round; }
svg .point { fill: var(--accent); stroke: var(--paper); stroke-width: 1.2; }
svg .point.stopped { fill: var(--paper); stroke: var(--accent); stroke-width: 1.8; }
svg .point.named { stroke: var(--ink); stroke-width: 2; }
svg a:hover .point, svg a:focus .point { fill: var(--second); }
svg .reference { fill: var(--second); stroke: var(--paper); stroke-width: 1; }
svg .reference-line { stroke: var(--second); stroke-width: 1; stroke-dasharray: 3 4; }
svg .reference-text { fill: var(--second); font-size: 12px; }
svg .reference-text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.card b { white-space: nowrap; }
td a { color: var(--accent); }
.pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); }
.pairs { gap: 18px; }
"""


def search_page(
    folder: str,
    record: Mapping[str, Any],
    cloud: Cloud,
    references: Sequence[Reference] = (),
    named: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """The page of a search, however far it is.

    ``folder`` is what commands call its run by, ``record`` what search.json holds, ``named`` trials
    that have a name (number to "designed").
    """
    named = {number: printable(name) for number, name in named.items()}
    shown = shown_trials(cloud, named)
    title = printable(f"A search of {cloud.members.space.name}")
    sections = [
        f"<header><h1>{escape(title)}</h1><p>{escape(_subtitle(cloud, record))}</p></header>",
        card_row(_cards(cloud, record)),
        _headline(cloud, references),
        _front(cloud, references, shown, named, folder),
        _best(cloud, shown, named),
        _references(cloud, references),
        genealogy(cloud),
        _progress(cloud),
        _choices(cloud),
        _failures(cloud.tally),
        section("How it was made", terms(_origin(record))),
    ]
    return document(title, sections, STYLE + GENEALOGY_STYLE + networks_style(shown))


# -- what comes first --------------------------------------------------------------------------
def _subtitle(cloud: Cloud, record: Mapping[str, Any]) -> str:
    setup = record.get("setup", {})
    words = [f"for {' and '.join(map(goal_label, cloud.goals))}"]
    if setup.get("budgets"):
        words.append(f"within {', '.join(map(str, setup['budgets']))}")
    words += [f"strategy {setup['strategy']}"] if "strategy" in setup else []
    words += [str(record["state"])] if "state" in record else []
    return printable(", ".join(words))


def _cards(cloud: Cloud, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts, trials = cloud.tally.counts, cloud.everything
    total = record.get("setup", {}).get("trials")
    of = f"of {total:,} trials" if isinstance(total, int) and total > len(trials) else "trials"
    cards = [(f"{len(trials):,}", of)]
    for i, (goal, trial) in enumerate(zip(cloud.goals, cloud.tally.best, strict=False)):
        if not is_cost(goal) or len(cloud.goals) == 1:
            cards.append((value_text(goal, trial.values[i]), f"best {goal_label(goal)}"))
    cards.append((f"{len(cloud.tally.front):,}", "on the front"))
    cards += [(f"{counts[s]:,}", STATES[s]) for s in ("stopped", "failed") if counts[s]]
    seconds = sum(trial.seconds for trial in trials)
    return [*cards, (duration(seconds), "of evaluation")] if seconds >= 1 else cards


def _headline(cloud: Cloud, references: Sequence[Reference]) -> str:
    """The best trial, and what is known of the networks it is held against."""
    best = best_trials(cloud.tally)
    if not best:
        return '<p class="proof">No trial has come to a value yet.</p>'
    trial, goal = best[0], cloud.axes[0]
    words = f"The best network is that of trial {trial.number}: {named_values(cloud.axes, trial)}."
    known = [(own.name, own.value(goal.name)) for own in references]
    others = [f"{name} {value_text(goal, value)}" for name, value in known if value is not None]
    beside = f" By the same measure: {', '.join(others)}." if others else ""
    caution = (
        "It was chosen for its value, which is therefore flattered where measuring is noisy:"
        " train it anew, with several seeds, before you rely on it."
    )
    noisy = any(not axis.known for axis in cloud.axes)
    told = f"<span>{escape(caution)}</span>" if noisy else ""
    return f'<p class="proof">{escape(printable(words + beside))} {told}</p>'


# -- networks ----------------------------------------------------------------------------------
def _front(
    cloud: Cloud,
    references: Sequence[Reference],
    shown: Sequence[Trial],
    named: Mapping[int, str],
    folder: str,
) -> str:
    if not shown:
        return ""
    numbers = {trial.number for trial in shown}
    pictures = front_pictures(cloud, references, numbers, named)
    drawn = "".join(map(wide, pictures))
    if len(pictures) > 1:
        drawn = f'<div class="pairs">{drawn}</div>'
    panels = network_panels(cloud, shown, folder, named)
    legend = (
        "Large points are networks that no other is ahead of in everything shown; a click shows"
        " one below. Small dots are the other trials, those in the second colour were stopped"
        " early, and hollow points are such trials on the front; marks on the lower edge are"
        " failed ones. Diamonds and dashed lines are networks the search did not propose. The"
        " outermost fiftieth of the trials may lie on the edge of the picture."
    )
    if not pictures:
        return section("The best network", panels)
    return section("Pareto front", f'{drawn}<p class="note">{escape(legend)}</p>{panels}')


def _best(cloud: Cloud, shown: Sequence[Trial], named: Mapping[int, str]) -> str:
    """The front or, of a single goal, the best trials."""
    if not cloud.trials:
        return ""
    tally = cloud.tally
    single = len(cloud.goals) == 1
    best = sorted(cloud.trials, key=lambda trial: tally.losses(trial.values))
    chosen = best[:MOST_ROWS] if single else spread(tally.sorted_front(), MOST_ROWS)
    header, rows = trial_cells(tally, chosen, cloud.members)
    numbers = {trial.number for trial in shown}
    body = []
    for trial, cells in zip(chosen, rows, strict=True):
        line = [*map(escape, cells), *[""] * (len(header) - len(cells))]
        if trial.number in named:
            line[0] += f" ({escape(named[trial.number])})"
        if trial.number in numbers:
            line[0] = f'<a href="#{anchor(trial)}">{line[0]}</a>'
        body.append(line)
    whole = len(cloud.trials) if single else len(tally.front)
    note = f"{len(chosen)} of {whole:,}; front.csv has the whole front."
    title = "Best networks" if single else "Networks on the front"
    return section(title, wide(table(header, body)), note if whole > len(chosen) else "")


def _references(cloud: Cloud, references: Sequence[Reference]) -> str:
    """Networks that are no trials, with what is known of them."""
    if not references:
        return ""
    costs = [name for name in COSTS if name not in {axis.name for axis in cloud.axes}]
    body = []
    for own in references:
        known = [(axis, own.value(axis.name)) for axis in cloud.axes]
        cells = [printable(own.name), *("-" if v is None else value_text(a, v) for a, v in known)]
        cells += [exact(own.costs[name]) for name in costs]
        body.append([escape(cell) for cell in cells])
    header = ["", *map(goal_label, cloud.axes), *map(cost_label, costs)]
    return section("Networks it is held against", wide(table(header, body)))


# -- how it went -------------------------------------------------------------------------------
def _progress(cloud: Cloud) -> str:
    pictures = progress_pictures(cloud)
    if not pictures:
        return ""
    notes = ["A line is the best so far; dots are single trials, marks below them failed ones."]
    if len(cloud.goals) in MOMENTS:
        notes.append(
            "Hypervolume is the share of a box that is dominated: from the best values of every"
            " goal to the worst on the last front, and a tenth beyond."
        )
    return section("Progress", "".join(map(wide, pictures)), " ".join(notes))


def _choices(cloud: Cloud) -> str:
    """Which choices matter to each goal."""
    points = [trial.point for trial in cloud.trials]
    found: list[tuple[Goal, Importances]] = []
    for i, goal in enumerate(cloud.goals):
        values = cloud.values[:, i].tolist()
        own = importances(cloud.members.space, points, values, goal.higher_is_better)
        if own is not None and own.choices:
            found.append((goal, own))
    if not found:
        return ""
    note = (
        "The share of a goal's variance that a choice explains by itself (functional analysis of"
        " variance of an additive model), over networks that draw every choice uniformly; what"
        " choices do together, and noise, is not in it. Below a goal stands how much the model"
        " foresees of trials it was not given: where that is little, so is what the bars say."
    )
    return section("Which choices matter", wide(choices_picture(found)), note)


def _failures(tally: Tally) -> str:
    if not tally.reasons:
        return ""
    reasons = tally.sorted_reasons()
    body = [
        [escape(reason_text(own.text)), exact(len(own.numbers)), escape(numbers_text(own))]
        for own in reasons[:MOST_REASONS]
    ]
    more = len(reasons) - MOST_REASONS
    note = f"{counted(more, 'reason')} more." if more > 0 else ""
    return section("Failures", wide(table(("reason", "trials", ""), body)), note)


def _origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Command, settings and versions as texts; what was left open is left out."""
    setup = dict(record.get("setup", {}))
    for name, what in (("starts", "designed network"), ("references", "network")):
        if setup.get(name):
            setup[name] = counted(len(setup[name]), what)
    plain = {
        "command": shlex.join(record.get("command", ())) or "from Python",
        "made": record.get("created"),
        "state": record.get("state"),
        **{name.replace("_", " "): value for name, value in setup.items()},
        **record.get("versions", {}),
    }
    texts = {name: _text(value) for name, value in plain.items()}
    return {printable(name): printable(text) for name, text in texts.items() if text}


def _text(value: Any) -> str:
    """JSON data in words; nothing for what was left open."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, own in value.items() if (text := _text(own)))
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
