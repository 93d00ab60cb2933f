"""Grapheme clusters, which readers see as single characters: splits and cuts texts at them. Never changes one.

Clusters are as in Unicode Standard Annex 29.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import regex

_GRAPHEME: Final = regex.compile(r"\X")
# Without one of these, every code point is a grapheme cluster of its own.
_JOINING: Final = regex.compile(
    r"[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Prepend}\p{GCB=RI}\p{GCB=L}\p{GCB=V}\p{GCB=T}\r]"
)
# Most chat: letters of scripts without marks, kana, CJK, Hangul, signs, emoji of one part. The list is a shortcut that
# takes a tenth of the time of looking up every character's properties.
_PLAIN: Final = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u0590\u05d0-\u05ea\u1e00-\u1fff\u2010-\u2027\u20a0-\u20bf"
    "\u2190-\u21ff\u3001-\u3029\u3041-\u3096\u30a0-\u3163\u3165-\u318e\u4e00-\u9fff\uac00-\ud7a3"
    "\U0001f400-\U0001f64f\U0001f680-\U0001f6ff\U0001f900-\U0001f9ff]*"
)


def is_plain(text: str) -> bool:
    """Whether the text certainly has no character that joins, marks another, or is ignored. Quick."""
    return text.isascii() or _PLAIN.fullmatch(text) is not None


def is_simple(text: str) -> bool:
    """Whether every code point is a grapheme cluster."""
    return is_plain(text) or _JOINING.search(text) is None


def graphemes(text: str) -> Sequence[str]:
    """The text's grapheme clusters, in order."""
    return text if is_simple(text) else _GRAPHEME.findall(text)


def cut(text: str, limit: int) -> str:
    """Cuts to at most `limit` code points where a grapheme cluster ends; within the first one where it is longer."""
    if len(text) <= limit:
        return text
    end = 0
    for found in _GRAPHEME.finditer(text, 0, limit + 1):
        if found.end() > limit:
            break
        end = found.end()
    return text[: end or limit]
