"""Owns how chat and titles become one short text for the encoder, and its hash. Never sees a room or a vector."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Protocol


def text_hash(text: str) -> int:
    """Signed 64-bit hash, the same in every process; 0 for the empty text only."""
    if not text:
        return 0
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def normalise(text: str, max_chars: int) -> str:
    """NFC, no control characters, single spaces, a word repeated in a row kept once, at most max_chars characters."""
    text = text[:max_chars]
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(char if _is_kept(char) else " " for char in text)
    words = text.split()
    kept = [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]
    return " ".join(kept)[:max_chars]


def _is_kept(char: str) -> bool:
    """Printable, or one of the joiners that hold emoji and several scripts together."""
    return char.isprintable() or char in "\u200c\u200d"


class TextSample(Protocol):
    """Distinct texts of one slice."""

    def newest_first(self) -> list[tuple[int, str]]:
        """(event time of the first copy, text as written), newest first, then by text."""

    def count(self, text: str) -> int:
        """Copies of a text of the sample."""


def build_chat_text(slices: Iterable[TextSample], max_chars: int, message_chars: int) -> str:
    """The distinct texts in time order, joined by newlines, in at most max_chars characters.

    Messages of two or more different words go first, evenly over the slices and newest first, until one does not fit;
    what room is left goes to single words and emotes, most frequent first. Copies count once, whatever their case.
    slices: newest first. A function of what they hold, not of the order in which it came.
    """
    kept: dict[str, tuple[int, str]] = {}  # casefolded → (event time, text)
    words: dict[str, tuple[int, int, str]] = {}  # casefolded → (-copies, -event time, text)
    budget = max_chars + 1  # the first text has no newline before it
    samples = list(slices)
    for sample, (at_ms, raw) in _in_turn([sample.newest_first() for sample in samples], samples):
        text = normalise(raw, message_chars)
        key = text.casefold()
        if key in kept or not text:
            continue
        if not _is_sentence(text):
            copies, newest, first = words.get(key, (0, -at_ms, text))
            words[key] = (copies - sample.count(raw), newest, first)
            continue
        if len(text) >= budget:
            budget = 0
            break
        budget -= len(text) + 1
        kept[key] = (at_ms, text)
    for key, (_, negative_at_ms, text) in sorted(words.items(), key=itemgetter(1)):
        if len(text) < budget:
            budget -= len(text) + 1
            kept[key] = (-negative_at_ms, text)
    return "\n".join(text for _, text in sorted(kept.values()))


def _in_turn(
    columns: Sequence[Sequence[tuple[int, str]]], samples: Sequence[TextSample]
) -> Iterator[tuple[TextSample, tuple[int, str]]]:
    """The first of each column, then the second of each, and so on."""
    for rank in range(max(map(len, columns), default=0)):
        for sample, column in zip(samples, columns, strict=True):
            if rank < len(column):
                yield sample, column[rank]


def _is_sentence(text: str) -> bool:
    """Two different words, or a text long enough in a script that writes no spaces."""
    words = text.casefold().split()
    if len(words) > 1:
        return len(set(words)) > 1
    return len(text) >= 6 and not text.isascii()  # 6: longer than most CJK interjections


def build_title_text(title: str, category: str, tags: Iterable[str], max_chars: int) -> str:
    """Title, category and tags as one text."""
    parts = [normalise(title, max_chars), normalise(category, max_chars)]
    parts.append(", ".join(filter(None, (normalise(tag, max_chars) for tag in tags))))
    return ". ".join(filter(None, parts))[:max_chars]
