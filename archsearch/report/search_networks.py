"""Networks of a search's report: which are shown, each with its stages, found by a click."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape

from ..trials import Trial
from .html import printable, stage_table, terms, wide
from .picture import network_picture
from .search_built import built_stages
from .search_cloud import Cloud
from .search_front import anchor
from .search_text import spread
from .search_words import STATES, best_trials, named_values

MOST_SHOWN = 24
"""Networks whose stages are on the page."""

TOP = 10
"""The best networks of the first goal, which are among them where there is room."""


def shown_trials(cloud: Cloud, named: Mapping[int, str]) -> list[Trial]:
    """The trials whose networks are on the page, the best one first: of the front, evenly where it
    is large, those that have a name, and the next best by the first goal."""
    best = best_trials(cloud.tally)
    chosen = [*best, *(trial for trial in cloud.trials if trial.number in named)]
    chosen += spread(cloud.tally.sorted_front(), max(MOST_SHOWN - len(chosen), 2))
    chosen += sorted(cloud.trials, key=lambda trial: cloud.tally.losses(trial.values))[:TOP]
    return list({trial.number: trial for trial in chosen}.values())[:MOST_SHOWN]


def network_panels(
    cloud: Cloud, trials: Sequence[Trial], folder: str, named: Mapping[int, str]
) -> str:
    """The networks of trials, of which the page shows the first one until a link leads to another;
    ``style`` does that without a script."""
    panels = [
        _panel(cloud, trial, folder, named.get(trial.number, ""), i == 0)
        for i, trial in enumerate(trials)
    ]
    return f'<div class="networks">{"".join(panels)}</div>'


def style(trials: Sequence[Trial]) -> str:
    """Style sheet of the panels: the one that a link led to is shown, and its points are marked."""
    marked = "".join(
        f"body:has(#{anchor(t)}:target) .{anchor(t)}{{stroke:var(--second);stroke-width:5}}"
        for t in trials
    )
    return f"""
.network {{ display: none; scroll-margin-top: 62vh; }}
.network.first, .network:target {{ display: block; }}
.networks:has(.network:target) .network.first:not(:target) {{ display: none; }}
.network h3 {{ font-size: 16px; margin: 8px 0 4px; }}
@media print {{ .network {{ display: block; }} }}
{marked}
"""


def _panel(cloud: Cloud, trial: Trial, folder: str, name: str, first: bool) -> str:
    called = f"Trial {trial.number}" + (f", {name}" if name else "")
    told = named_values(cloud.axes, trial)
    if trial.state == "stopped":
        told += f", {STATES['stopped']}"
    rows = built_stages(cloud.members.space, trial.point)
    note = f"key {escape(printable(trial.key))}"
    if rows is None:
        texts = cloud.members.texts(trial.point)
        drawn = terms({name: printable(text) for name, text in texts.items()})
    else:
        drawn = wide(network_picture(rows)) + wide(stage_table(rows))
        command = f"archsearch export {shlex.quote(folder)} --pick {trial.number}"
        note += f"; <code>{escape(printable(command))}</code>"
    return (
        f'<div class="network{" first" if first else ""}" id="{anchor(trial)}">'
        f"<h3>{escape(called)} <span>{escape(told)}</span></h3>"
        f'{drawn}<p class="note">{note}</p></div>'
    )
