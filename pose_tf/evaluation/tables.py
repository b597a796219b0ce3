"""Tables of text, and how they are written for the terminal, in Markdown and in LaTeX."""

import dataclasses
import re

LABEL_WIDTH = 22
"""The least width of a table's first column in the terminal."""
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column holds labels and whose other columns hold numbers.

    Attributes:
        columns: headings; the first is that of the labels.
        rows: cells as text, as many as columns. A label that begins with two spaces belongs to the row above.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def as_text(table: Table) -> str:
    """Aligned columns for the terminal."""
    lines = (table.columns, *table.rows)
    label, *widths = (max(map(len, cells)) for cells in zip(*lines, strict=True))
    label = max(label, LABEL_WIDTH)
    return "\n".join(
        f"{name:{label}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, *cells in lines
    )


def as_markdown(table: Table) -> str:
    """A table of GitHub's Markdown."""
    lines = [[cell.strip().replace("|", r"\|") for cell in line] for line in (table.columns, *table.rows)]
    lines.insert(1, ["---", *["---:"] * (len(table.columns) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_latex(table: Table) -> str:
    """A tabular with the rules of the package booktabs."""

    def line(cells):
        return " & ".join(rf"\quad {latex(cell[2:])}" if cell.startswith("  ") else latex(cell) for cell in cells)

    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            rf"{line(table.columns)} \\",
            r"\midrule",
            *(rf"{line(row)} \\" for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def latex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _LATEX.get(match[0], f"\\{match[0]}"), text)
