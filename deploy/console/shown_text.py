"""Text of strangers as pages show it: titles, names, chat. Never escapes HTML: the pages take text alone.

What is left out could turn a line around, cover its neighbours, or fill the page: control characters, bidirectional
overrides, towers of combining marks, thousands of characters.
"""

from __future__ import annotations

import regex

from deploy.terminal.console import one_line

TITLE = 160  # characters: two lines of a wide card
NAME = 64
MARKS = 2  # per character: Vietnamese and Hebrew need as many, towers have dozens
_TOWER = regex.compile(rf"(\p{{M}}{{{MARKS}}})\p{{M}}+")


def shown(text: str, limit: int = TITLE) -> str:
    """The text on one line, at most `limit` characters, its end marked where it was cut."""
    flat: str = _TOWER.sub(r"\1", one_line(text[: 8 * limit])).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def typed(value: object) -> str:
    """What somebody typed into a field, without spaces around it. Halves of characters, which JSON lacks, are "?"."""
    return str(value or "").strip().encode("utf-8", "replace").decode()
