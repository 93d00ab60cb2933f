"""Owns how chat and titles become one short text for the encoder, and its hash. Never sees a room or a vector."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Said:
    """One distinct text of one slice: as written, its first event time there, how often, and the slice's index."""

    text: str
    at_ms: int
    count: int
    slice_index: int


def build_chat_text(said: Iterable[Said], max_chars: int, message_chars: int) -> str:
    """The distinct texts in time order, joined by newlines, in at most max_chars characters.

    Messages of two or more different words go first, evenly over the slices and newest first; what room is left goes to
    single words and emotes, most frequent first. A function of the set: the order of `said` does not matter.
    """
    merged: dict[str, Said] = {}
    for one in said:
        text = normalise(one.text, message_chars)
        if not text:
            continue
        key = text.casefold()
        known = merged.get(key)
        if known is None:
            merged[key] = Said(text, one.at_ms, one.count, one.slice_index)
            continue
        first = min((known.at_ms, known.text, known.slice_index), (one.at_ms, text, one.slice_index))
        merged[key] = Said(first[1], first[0], known.count + one.count, first[2])
    kept: list[Said] = []
    budget = max_chars
    for one in _by_merit(list(merged.values())):
        cost = len(one.text) + 1  # the newline
        if cost <= budget + 1:
            kept.append(one)
            budget -= cost
    kept.sort(key=lambda one: (one.at_ms, one.text))
    return "\n".join(one.text for one in kept)


def _by_merit(said: Sequence[Said]) -> list[Said]:
    """Sentences by their rank within their slice, newest first, then single words by count."""
    sentences = sorted((one for one in said if _is_sentence(one.text)), key=lambda one: (-one.at_ms, one.text))
    words = sorted(
        (one for one in said if not _is_sentence(one.text)), key=lambda one: (-one.count, -one.at_ms, one.text)
    )
    ranks: dict[int, int] = {}
    ranked: list[tuple[int, int]] = []  # (rank in its slice, position in `sentences`)
    for position, one in enumerate(sentences):
        rank = ranks.get(one.slice_index, 0)
        ranks[one.slice_index] = rank + 1
        ranked.append((rank, position))
    return [sentences[position] for _, position in sorted(ranked)] + words


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
