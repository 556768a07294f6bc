"""``report.html``: one self-contained page about a design, without scripts or outside requests."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ..cost import COST_NAMES, cost
from .charts import cost_chart, progress_charts
from .html import card_row, document, printable, section, stage_table, table, terms, wide
from .numbers import cost_label, exact, percent, short
from .picture import block_pictures, network_picture
from .stages import stage_rows
from .words import caution, defaults_line, outcome, prices_line, proof, quantity, value

if TYPE_CHECKING:
    from ..design import Design


def page(design: Design, record: Mapping[str, Any]) -> str:
    """The page of a design; ``record`` is what design.json holds (``save.design_record``)."""
    best = design.networks[0].architecture
    rows = stage_rows(best)
    asked = [str(b) for b in design.budgets if b.cost not in design.default_budgets]
    title = f"A network for {', '.join(asked) or 'the default budgets'}"
    size = "x".join(map(str, best.input))
    subtitle = f"space {design.space_name}, objective {design.objective_name}, input {size}"
    sections = [
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>",
        _cards(design),
        f'<p class="proof">{escape(proof(design, design.best))} <span>{escape(outcome(design))}. '
        f"{escape(' '.join((caution(design), *map(_sentence, design.notes))))}</span></p>",
        section("The network", wide(network_picture(rows)), PLATES),
        section("Stages", wide(stage_table(rows))),
        section("Where the costs go", wide(cost_chart(rows))),
        section("Inside the blocks", _blocks(design), STRIPS),
        section("Budgets", wide(_budgets(design)), defaults_line(design), prices_line(design)),
        _search(design),
        _others(design, record),
        section("How it was made", _origin(record)),
    ]
    return document(title, sections)


PLATES = (
    "Every plate is a block. Its height shows the size of the feature map, its thickness the "
    "number of channels, both by their square root."
)
STRIPS = (
    "The repeated block of every stage; norms and activations stand under the layer they follow, "
    "arcs are shortcuts and gates. Channels are told where stages that share a picture agree."
)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _cards(design: Design) -> str:
    best = design.networks[0]
    used = cost(best.architecture)
    cards = [(short(used.params), "params"), (short(used.macs), "MACs")]
    cards += [
        (short(best.uses(b.cost)), cost_label(b.cost))
        for b in design.budgets
        if b.cost not in ("params", "macs")
    ]
    cards.append((value(design, design.value), quantity(design)))
    cards.append((value(design, design.bound), "proved bound"))
    cards.append((percent(design.gap), "gap"))
    return card_row(cards)


def _budgets(design: Design) -> str:
    best = design.networks[0]
    limits = {budget.cost: budget for budget in design.budgets}
    body = []
    for name in (*COST_NAMES, *(budget.cost for budget in design.budgets if budget.device)):
        if name not in limits and name not in design.ranges:
            continue
        low, high = design.ranges.get(name, (None, None))
        used, budget = best.uses(name), limits.get(name)
        share = percent(budget.share(used)) if budget else ""
        source = "" if budget is None else "default" if name in design.default_budgets else "given"
        limit = exact(budget.limit) if budget else ""
        cells = [cost_label(name), exact(used), limit, share, source]
        body.append([escape(cell) for cell in (*cells, exact(low), exact(high))])
    header = ("", "used", "budget", "share", "", "smallest in space", "largest in space")
    return table(header, body)


def _blocks(design: Design) -> str:
    """One picture per distinct block, with the parts it stands for."""
    return "\n".join(
        f"<h3>{escape(', '.join(p.names))} <span>{escape(p.kind)}</span></h3>{wide(p.drawing)}"
        for p in block_pictures(design.networks[0].architecture)
    )


def _search(design: Design) -> str:
    chart = progress_charts(design.trace, design.value)
    return section("Bound and gap over time", wide(chart)) if chart else ""


def _others(design: Design, record: Mapping[str, Any]) -> str:
    if len(design.networks) < 2:
        return ""
    body = []
    for network, own in zip(design.networks, record["networks"], strict=True):
        numbers = [exact(own["costs"]["params"]), exact(own["costs"]["macs"])]
        cells = [own["model"], value(design, network.value), percent(network.gap), *numbers]
        body.append([escape(cell) for cell in cells])
    header = ("file", quantity(design), "gap", "params", "MACs")
    return section("All networks", wide(table(header, body)))


def _origin(record: Mapping[str, Any]) -> str:
    rows = {
        "command": printable(shlex.join(record["command"])) or "from Python",
        "seed": str(record["seed"]),
        "made": record["created"],
        "key": record["networks"][0]["key"],
        **{name: str(value) for name, value in record["versions"].items()},
    }
    return terms(rows)
