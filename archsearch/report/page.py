"""``report.html``: one self-contained page about a design, without scripts or outside requests."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..cost import COST_NAMES, cost
from .charts import cost_chart, progress_charts
from .numbers import cost_label, exact, percent, score, short
from .picture import block_pictures, colour, network_picture
from .stages import StageRow, stage_rows
from .table import left_columns, stage_cells
from .words import CAUTION, certificate, defaults_line, outcome, prices_line

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
        f'<p class="proof">{escape(certificate(design.gap))} <span>{escape(outcome(design))}. '
        f"{escape(CAUTION)}</span></p>",
        _section("The network", _wide(network_picture(rows)), PLATES),
        _section("Stages", _wide(_stage_table(rows))),
        _section("Where the costs go", _wide(cost_chart(rows))),
        _section("Inside the blocks", _blocks(design), STRIPS),
        _section("Budgets", _wide(_budgets(design)), defaults_line(design), prices_line(design)),
        _search(design),
        _others(design, record),
        _section("How it was made", _origin(record)),
    ]
    style = (files(__package__) / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{ARROW}\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


PLATES = (
    "Every plate is a block. Its height shows the size of the feature map, its thickness the "
    "number of channels, both by their square root."
)
STRIPS = (
    "The repeated block of every stage; norms and activations stand under the layer they follow, "
    "arcs are shortcuts and gates. Channels are told where stages that share a picture agree."
)
ARROW = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
    '<marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" '
    'orient="auto"><path d="M0 0 L6 3 L0 6 z" class="tip"/></marker></defs></svg>'
)


def _section(title: str, content: str, *notes: str) -> str:
    below = "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note)
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n{below}</section>"


def _wide(content: str) -> str:
    """What is wider than a small screen scrolls by itself."""
    return f'<div class="wide">{content}</div>'


def _cards(design: Design) -> str:
    best = design.networks[0]
    used = cost(best.architecture)
    cards = [(short(used.params), "params"), (short(used.macs), "MACs")]
    cards += [
        (short(best.uses(b.cost)), cost_label(b.cost))
        for b in design.budgets
        if b.cost not in ("params", "macs")
    ]
    cards += [(score(design.value), "score"), (score(design.bound), "proved bound")]
    cards.append((percent(design.gap), "gap"))
    inside = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name in cards
    )
    return f'<div class="cards">{inside}</div>'


def _stage_table(rows: Sequence[StageRow]) -> str:
    header, lines = stage_cells(rows)
    *body, totals = [[*map(escape, line)] for line in lines]
    for i, line in enumerate(body):
        line[0] = f'<i class="swatch {colour(i)}"></i>{line[0]}'
    return _table(header, [*body, totals], left=left_columns(header), total=True)


def _budgets(design: Design) -> str:
    best = design.networks[0]
    limits = {budget.cost: budget for budget in design.budgets}
    body = []
    for name in COST_NAMES:
        if name not in limits and name not in design.ranges:
            continue
        low, high = design.ranges.get(name, (None, None))
        value, budget = best.uses(name), limits.get(name)
        share = percent(value / budget.limit) if budget else ""
        source = "" if budget is None else "default" if name in design.default_budgets else "given"
        limit = exact(budget.limit) if budget else ""
        cells = [cost_label(name), exact(value), limit, share, source]
        body.append([escape(cell) for cell in (*cells, exact(low), exact(high))])
    header = ("", "used", "budget", "share", "", "smallest in space", "largest in space")
    return _table(header, body)


def _blocks(design: Design) -> str:
    """One picture per distinct block, with the parts it stands for."""
    return "\n".join(
        f"<h3>{escape(', '.join(p.names))} <span>{escape(p.kind)}</span></h3>{_wide(p.drawing)}"
        for p in block_pictures(design.networks[0].architecture)
    )


def _search(design: Design) -> str:
    chart = progress_charts(design.trace, design.value)
    return _section("Bound and gap over time", _wide(chart)) if chart else ""


def _others(design: Design, record: Mapping[str, Any]) -> str:
    if len(design.networks) < 2:
        return ""
    body = []
    for network, own in zip(design.networks, record["networks"], strict=True):
        numbers = [exact(own["costs"]["params"]), exact(own["costs"]["macs"])]
        cells = [own["model"], score(network.value), percent(network.gap), *numbers]
        body.append([escape(cell) for cell in cells])
    return _section("All networks", _wide(_table(("file", "score", "gap", "params", "MACs"), body)))


def _origin(record: Mapping[str, Any]) -> str:
    rows = {
        "command": _printable(shlex.join(record["command"])) or "from Python",
        "seed": str(record["seed"]),
        "made": record["created"],
        "key": record["networks"][0]["key"],
        **{name: str(value) for name, value in record["versions"].items()},
    }
    terms = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>"
        for name, value in rows.items()
    )
    return f"<dl>{terms}</dl>"


def _printable(text: str) -> str:
    """The text, with bytes of the command line that are no characters escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _table(
    header: Iterable[str], body: Sequence[Sequence[str]], left: int = 1, total: bool = False
) -> str:
    """Cells are HTML already; the first ``left`` columns are texts, the others numbers."""
    heads = "".join(
        f"<th{' class=left' if i < left else ''}>{escape(name)}</th>"
        for i, name in enumerate(header)
    )
    lines = []
    for n, row in enumerate(body):
        cells = "".join(
            f"<td{' class=left' if i < left else ''}>{cell}</td>" for i, cell in enumerate(row)
        )
        css = ' class="total"' if total and n == len(body) - 1 else ""
        lines.append(f"<tr{css}>{cells}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
