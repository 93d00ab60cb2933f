"""The layout of a table for the available width: important columns stay, numbers are never cut. Never prints.

A column has a rank. Where a terminal is too narrow, columns are dropped by rank, the highest first, and long texts are
cut with an ellipsis. Without a width (a pipe, a file) everything is there in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.terminal.console import PIPE_WIDTH, one_line

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table
    from rich.text import Text

GAP = 2  # spaces between columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its heading. rank: 0 always stays, the highest is dropped first. least: cells left by a cut.

    least 0: never cut, for numbers and short names.
    """

    name: str
    rank: int = 0
    least: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], width: int) -> Table:
    """The rows as a table that is at most `width` cells wide. rows: as many texts as there are columns."""
    from rich.cells import cell_len  # noqa: PLC0415  slow to import, and `--help` needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    texts = [[cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in row] for row in rows]
    natural = [max([cell_len(column.name), *(row[at].cell_len for row in texts)]) for at, column in enumerate(columns)]
    widths = fitted(columns, natural, width)
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for at, wide in widths.items():
        column = columns[at]
        justify: JustifyMethod = "right" if column.right else "left"
        made.add_column(
            column.name,
            justify=justify,
            no_wrap=True,
            overflow="ellipsis",
            min_width=wide,
            max_width=wide,
        )
    for row in texts:
        made.add_row(*(row[at] for at in widths))
    return made


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """The columns that are shown, by position, with the width of each in cells."""
    shown = list(range(len(columns)))
    least = [min(wide, column.least or wide) for column, wide in zip(columns, natural, strict=True)]
    if width >= PIPE_WIDTH:
        return {at: natural[at] for at in shown}

    def over() -> int:
        return sum(least[at] for at in shown) + GAP * (len(shown) - 1) - width

    while over() > 0 and (droppable := [at for at in shown if columns[at].rank]):
        shown.remove(max(droppable, key=lambda at: (columns[at].rank, at)))
    widths = {at: least[at] for at in shown}
    spare = -over()
    while spare < 0:  # no column can be dropped any more: the widest becomes narrower
        widest = max(widths, key=lambda at: widths[at])
        if widths[widest] <= 1:
            break
        widths[widest] -= 1
        spare += 1
    while spare > 0 and (cut := [at for at in shown if widths[at] < natural[at]]):
        first = min(cut, key=lambda at: (widths[at], columns[at].rank))
        widths[first] += 1
        spare -= 1
    return widths
