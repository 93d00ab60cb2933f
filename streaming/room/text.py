"""Builds one short text for the encoder from chat, speech or a title, and its hash. Never sees a room or a vector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from operator import itemgetter

from streaming.record_format.grapheme import cut
from streaming.room.saying import normalise, read

SampledText = tuple[int, str, int]  # minus the event time of the first copy, the original text, its copies
Transcript = tuple[int, str]  # minus the event time, the original text


def text_hash(text: str) -> int:
    """Hashes to a signed 64-bit number, the same in every process; 0 for the empty text only."""
    if not text:
        return 0
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def build_chat_text(slices: Iterable[Iterable[SampledText]], max_chars: int, message_chars: int) -> str:
    """Joins distinct texts by newlines, newest first, in at most max_chars characters.

    Newest first, because an encoder that reads fewer tokens cuts the end off.

    Messages of two or more different words are chosen first, evenly over the slices and newest first, until one does
    not fit. The rest is filled with single words, emotes and laughter, most frequent first. Copies count once, whatever
    their case, invisible characters and, in laughter, their length.
    slices: newest first, and so are the texts of each. The result does not depend on the order of arrival.
    """
    kept: dict[str, tuple[int, str]] = {}  # casefolded → (event time, text)
    words: dict[str, tuple[int, int, str]] = {}  # casefolded → (-copies, -event time, text)
    budget = max_chars + 1  # the first text has no newline before it
    for negative_at_ms, raw, copies in _in_turn(slices):
        text, key, is_sentence = read(raw, message_chars)
        if key in kept or not text:
            continue
        if not is_sentence:
            known, newest, first = words.get(key, (0, negative_at_ms, text))
            words[key] = (known - copies, newest, first)
            continue
        if len(text) >= budget:
            budget = 0
            break
        budget -= len(text) + 1
        kept[key] = (-negative_at_ms, text)
    for key, (_, negative_at_ms, text) in sorted(words.items(), key=itemgetter(1)):
        if len(text) < budget:
            budget -= len(text) + 1
            kept[key] = (-negative_at_ms, text)
    return "\n".join([text for _, text in sorted(kept.values(), reverse=True)])


def join_few(messages: Iterable[tuple[str, str, int]], max_chars: int, message_chars: int) -> str | None:
    """The result of `build_chat_text` where all messages fit and no two mean the same, else None.

    messages: viewer, text, event time. It is three times as fast, because no choice is needed.
    """
    kept: dict[str, tuple[int, str]] = {}
    budget = max_chars + 1
    for _, raw, at_ms in messages:
        text, key, _ = read(raw, message_chars)
        if not text:
            continue
        budget -= len(text) + 1
        if budget < 0 or key in kept:
            return None
        kept[key] = (at_ms, text)
    return "\n".join([text for _, text in sorted(kept.values(), reverse=True)])


def build_speech_text(speech: Sequence[Transcript], max_chars: int, speech_chars: int) -> str:
    """Joins transcripts by newlines, newest first, in at most max_chars characters; the last one is cut to fit.

    speech: newest first. speech_chars: of each transcript at most.
    """
    lines: dict[str, str] = {}  # casefolded → text
    left = max_chars
    for _, raw in speech:
        text, key, _ = read(raw, speech_chars)
        if not text or key in lines:
            continue
        if left <= 0:
            break
        if beginning := _first_words(text, left):
            lines[key] = beginning
        left -= len(text) + 1
    return "\n".join(lines.values())


def build_mixed_text(
    chat: Callable[[int], str], speech: Sequence[Transcript], share: float, max_chars: int, speech_chars: int
) -> str:
    """Chat and speech as one text of at most max_chars characters, of which `share` is for speech.

    What one does not need the other takes. The lines stand in turn, so that each has about its share of any beginning
    too: an encoder that reads fewer tokens cuts the end off. chat: makes the text of the chat, in so many characters.
    speech: as in `build_speech_text`.
    """
    spoken = build_speech_text(speech, max_chars, speech_chars)
    if not spoken:
        return chat(max_chars)
    written = chat(max_chars - 1 - min(len(spoken), int(share * max_chars)))
    if not written:
        return spoken
    spoken = build_speech_text(speech, max_chars - 1 - len(written), speech_chars)
    lines = sorted([*_placed(spoken), *_placed(written)], key=itemgetter(0))
    return "\n".join([line for _, line in lines if line])


def _placed(text: str) -> Iterator[tuple[float, str]]:
    """A text's lines, each with the place of its middle in the text, from 0 to 1."""
    before = 0
    for line in text.split("\n"):
        yield (before + len(line) / 2) / max(1, len(text)), line
        before += len(line) + 1


def _first_words(text: str, max_chars: int) -> str:
    """Cuts a text between words; anywhere where that would leave less than half and it may have no spaces."""
    if len(text) <= max_chars:
        return text
    words = text[: max_chars + 1].rpartition(" ")[0]
    return words if text.isascii() or 2 * len(words) >= max_chars else cut(text, max_chars)


def _in_turn(slices: Iterable[Iterable[SampledText]]) -> Iterable[SampledText]:
    """Interleaves the slices: the first of each, then the second of each, and so on."""
    return filter(None, chain.from_iterable(zip_longest(*slices)))


def build_title_text(title: str, category: str, tags: Iterable[str], max_chars: int) -> str:
    """Joins title, category and tags to one text."""
    parts = [normalise(title, max_chars), normalise(category, max_chars)]
    parts.append(", ".join(filter(None, (normalise(tag, max_chars) for tag in tags))))
    return ". ".join(filter(None, parts))[:max_chars]
