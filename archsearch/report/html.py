"""What every page of the report is made of: one self-contained document, sections, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

from .picture import colour
from .stages import StageRow
from .table import left_columns, stage_cells

ARROW = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
    '<marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" '
    'orient="auto"><path d="M0 0 L6 3 L0 6 z" class="tip"/></marker></defs></svg>'
)
"""The head of the arrows inside block pictures."""


def document(title: str, sections: Iterable[str], more_style: str = "") -> str:
    """A page without scripts or outside requests, in light and dark; empty sections left out."""
    style = (files(__package__) / "page.css").read_text(encoding="utf-8") + more_style
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{ARROW}\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str, *notes: str) -> str:
    below = "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note)
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n{below}</section>"


def wide(content: str) -> str:
    """What is wider than a small screen scrolls by itself."""
    return f'<div class="wide">{content}</div>'


def card_row(pairs: Iterable[tuple[str, str]]) -> str:
    """Large values, each with what it is called below."""
    inside = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name in pairs
    )
    return f'<div class="cards">{inside}</div>'


def table(
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


def stage_table(rows: Sequence[StageRow]) -> str:
    """The stages of a network, each with the colour it has in pictures, and the totals."""
    header, lines = stage_cells(rows)
    *body, totals = [[*map(escape, line)] for line in lines]
    for i, line in enumerate(body):
        line[0] = f'<i class="swatch {colour(i)}"></i>{line[0]}'
    return table(header, [*body, totals], left=left_columns(header), total=True)


def terms(rows: Mapping[str, str]) -> str:
    """Names and what stands behind them, as code."""
    inside = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>"
        for name, value in rows.items()
    )
    return f"<dl>{inside}</dl>"


def printable(text: str) -> str:
    """The text with what a terminal or page would obey, and bytes that are no text, escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
