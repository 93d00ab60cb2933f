"""Normalises one message or title, without decoration and repetition. Never joins texts, never sees a room.

Rules go by properties of characters, whatever the script: laughter is a text whose characters come twice on average,
not a word of a list. Meaningful parts stay: joiners of Indic and Arabic scripts, emoji of several parts, numbers.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import regex

from streaming.record_format.grapheme import graphemes, is_plain, is_simple

MOST_WORDS_OF_PHRASE: Final = 12  # with spaces
MOST_TURNS: Final = 8  # one of 60,000 random texts needed four
LONGEST_LAUGH: Final = 12  # characters kept of a word without meaning
MOST_MARKS: Final = 2  # on a letter, of those that any script may have; Vietnamese needs two, composed none
MOST_OWN_MARKS: Final = 6  # on a letter, of its script's own: Burmese needs five
MOST_DIGITS: Final = 24  # the largest real number has twenty
LONGEST_CLUSTER: Final = 12  # a kiss of two skins is ten; a longer one is a row of consonants, read one by one
MOST_AGAIN: Final = 2  # repeated characters in a word to which none of the patterns applies
STAND_IN: Final = 0x100000  # private use, so in no normalised text
MOST_SAME_DIGITS: Final = 4  # 555555 is laughter, 1000000 and 9999 are numbers

# A joiner that joins: in emoji, beside a virama, between letters of a script that joins them (RFC 5892, appendix A). A
# variation selector that makes a sign an emoji. The letters in a flag of England. Any other default-ignorable
# character is left out.
_JOINED: Final = (
    r"(?<=[\p{ExtPict}\p{EMod}\uFE0F])\u200D(?=\p{ExtPict})"
    r"|(?<=\p{ccc=9})[\u200C\u200D]|[\u200C\u200D](?=\p{ccc=9})"
    r"|(?<=\p{bc=AL}\p{M}*)[\u200C\u200D](?=\p{bc=AL})"
    r"|(?<=[\p{ExtPict}--\p{EPres}])\uFE0F|(?<=[0-9#*])\uFE0F(?=\u20E3)"
    r"|(?<=\U0001F3F4)[\U000E0020-\U000E007E]+\U000E007F"
)
_IGNORED: Final = regex.compile(rf"({_JOINED})|[\p{{DI}}]", regex.V1)
_BLANK: Final = regex.compile(r"[\u2800[\p{DI}&&\p{L}]]", regex.V1)  # Braille's and Hangul's characters without ink
_ODD: Final = regex.compile(r"[\p{DI}\p{M}\u2800]")
_MARKS: Final = regex.compile(r"\p{M}{3,}")
_BARE_MARKS: Final = regex.compile(r"(?:(?<=\s)|^)[\p{M}\p{DI}]+")
_ANY_SCRIPT: Final = regex.compile(r"[\p{Script=Inherited}\p{Script=Common}]")
_ACTION: Final = re.compile(r"[\s\x01]*\x01ACTION(?=[\s\x01]|$)")
_TYPED_ACTION: Final = re.compile(r"^/me(?=\s|$)", re.IGNORECASE)
_ALIKE: Final = re.compile(r"([^\s\d])\1{3,}")
_PARTS: Final = re.compile(r"([^\s\d]{2,4}?)\1{2,}")
_PHRASE: Final = re.compile(r"([^\s\d]{5,16}?)\1+")
_DIGITS: Final = re.compile(rf"(\d{{{MOST_DIGITS}}})\d+")
# One repeated character is kept three times (Final Fantasy XIII is not XII), two to four characters twice (haha), a
# longer phrase once, as are words with spaces between them. Digits never repeat as a part: 100100100 is a number.
# Laughter in digits is a word of one digit, or digits beside letters that are not Latin, as in Thai: a URL and a price
# stay as they are.
_SAME_DIGITS: Final = re.compile(rf"(?:^|(?<=[^!-~]))(\d)\1{{{MOST_SAME_DIGITS - 1}}}\1+(?=\W*$|[^!-~])")
_SAME_END: Final = re.compile(r"(?:^|(?<=[^!-~]))(\d(?:([1-9])\2{3}))\2{2,}(?=\W*$|[^!-~])")  # 2333333, as in China
_ROW_OF_JAMO: Final = regex.compile(r"\p{GCB=L}+|\p{GCB=V}+|\p{GCB=T}+")  # never a syllable, however it is drawn
# Letters of scripts without spaces. The named scripts do not follow from their classes of line breaking.
_UNSPACED: Final = regex.compile(
    r"[[\p{LB=ID}\p{LB=CJ}\p{LB=SA}\p{LB=H2}\p{LB=H3}\p{Tibetan}\p{Javanese}\p{Balinese}]&&\p{L}]", regex.V1
)
_WIDE: Final = re.compile(r"[\uff01-\uffee]+")  # full-width and half-width letters


class Saying(NamedTuple):
    """A normalised text. key: equal for texts that mean the same. is_sentence: more than a word, an emote, a laugh."""

    text: str
    key: str
    is_sentence: bool


@functools.lru_cache(maxsize=32_768)  # a message is in several texts of its room; some 12 MB
def read(raw: str, max_chars: int) -> Saying:
    """Normalises a message to at most max_chars characters."""
    if len(raw) <= max_chars and raw.isprintable() and raw[:1] != "/":  # most chat, at a fraction of the cost
        if raw.isascii() and (saying := _read_words(raw)) is not None:
            return saying
        if is_plain(raw) and unicodedata.is_normalized("NFC", raw):
            words = raw.split()
            if not (_may_repeat(words) and _is_repeated(raw)):
                if len(set(words)) < len(words):
                    words = _once(words)
                text = " ".join(words)
                return _said(text, _folded(text))
    text = normalise(raw, max_chars)
    return _said(text, _folded(text))


def _read_words(raw: str) -> Saying | None:
    """Reads ASCII text without repetition in its words; None where there may be some."""
    key = raw.lower()
    words = key.split()
    if len(" ".join(words)) < len(raw):
        return None
    known = set(words)
    shapes = [*map(_shape, known)]
    if None in shapes:
        return None
    if len(known) < len(words):
        raw = " ".join(_once(raw.split()))
        key = raw.lower()
    return Saying(raw, key, True) if shapes.count(True) > 1 else _said(raw, key)


@functools.lru_cache(maxsize=16_384)  # chat repeats few words; some 2 MB
def _shape(word: str) -> bool | None:
    """Whether a word of ASCII letters and digits has a meaning; None where something in it may be repeated."""
    distinct = len(set(word))
    if len(word) > distinct + MOST_AGAIN:
        return None
    return len(word) < 2 * distinct and word.isalnum()


def _folded(text: str) -> str:
    key = text.casefold()
    if not text.isascii() and _WIDE.search(key):
        key = _WIDE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), key).casefold()
    return key


def _said(text: str, key: str) -> Saying:
    if _is_sentence(key):
        return Saying(text, key, is_sentence=True)
    return Saying(text, _laugh(key) or key, is_sentence=False)


def condensed_all(texts: Iterable[str]) -> list[str]:
    """Applies `condensed` to each text, faster than one by one."""
    return [text if " " in text and text.isascii() else condensed(text) for text in texts]


def condensed(text: str) -> str:
    """Normalises laughter and decorated text, and returns anything else unchanged. Quick: most text is plain."""
    if (" " not in text and len(text) >= 2 * len(set(text))) or not (is_plain(text) or _ODD.search(text) is None):
        return read(text, len(text)).text
    return text


def beginning(text: str, max_chars: int) -> str:
    """Cuts a text to at most max_chars characters, and drops a cut last word of a repetition.

    KEKW KEKW KEK means KEKW, and KEK would be another word.
    """
    if len(text) <= max_chars:
        return text
    cut, is_whole = text[:max_chars], text[max_chars].isspace() or text[max_chars - 1].isspace()
    words = [] if is_whole else cut.split()
    if words and any(word != words[-1] and word.startswith(words[-1]) for word in words):
        return cut[: -len(words[-1])].rstrip()
    return cut


def normalise(text: str, max_chars: int) -> str:
    """Converts to NFC, without control characters, decoration and repetition, in at most max_chars characters.

    The function is idempotent: it repeats its steps, because a removal may bring further repetition together.
    """
    text, before = beginning(text, max_chars), ""
    for _ in range(MOST_TURNS):
        text, before = _normalised(text)[:max_chars].rstrip(), text
        if text == before:
            break
    return text


def _normalised(text: str) -> str:
    if "\x01" in text:
        text = _ACTION.sub("", text, 1)
    if not text.isascii():
        text = _undecorated(text)
    elif not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    if text[:1] == "/":
        text = _TYPED_ACTION.sub("", text, 1)
    words = text.split()
    if _may_repeat(words) and _is_repeated(text):
        words = _shortened(text).split()
    if len(set(words)) < len(words):
        words = _once(words)
    return " ".join(words)


def _undecorated(text: str) -> str:
    odd = not is_plain(text) and _ODD.search(text) is not None
    if odd:
        text = _IGNORED.sub(r"\1", _BLANK.sub(" ", text))
    if not text.isprintable():
        text = "".join(char if _is_kept(char) else " " for char in text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if odd:
        text = _MARKS.sub(lambda found: _thinned(found.group()), _BARE_MARKS.sub("", text))
    return text


def _is_kept(char: str) -> bool:
    """Whether a character stays: it is printable, or a joiner that joins."""
    return char.isprintable() or char in "\u200c\u200d" or "\U000e0020" <= char <= "\U000e007f"


def _thinned(marks: str) -> str:
    """Drops marks on one letter beyond those that a script may put there."""
    kept: list[str] = []
    foreign = 0
    for mark in marks:
        if mark in kept:
            continue
        if _ANY_SCRIPT.match(mark):
            foreign += 1
            if foreign > MOST_MARKS:
                continue
        elif len(kept) - min(foreign, MOST_MARKS) >= MOST_OWN_MARKS:
            continue
        kept.append(mark)
    return "".join(kept)


def _may_repeat(words: Sequence[str]) -> bool:
    """Whether anything may be repeated within a word: a quick test before the real one."""
    for word in words:  # noqa: SIM110  any() takes twice as long
        if len(word) > 3 and len(word) > len(set(word)) + MOST_AGAIN:
            return True
    return False


def _is_repeated(text: str) -> bool:
    """Whether `_shortened` changes anything."""
    for pattern in (_ALIKE, _PARTS, _PHRASE, _DIGITS, _SAME_DIGITS, _SAME_END):
        if pattern.search(text):
            return True
    return not is_simple(text) or any(len(word) > LONGEST_LAUGH and not _says(word) for word in text.split())


def _shortened(text: str) -> str:
    """Shortens repetition within words to the length at which it still has a meaning."""
    text = _SAME_DIGITS.sub(lambda found: found.group(1) * MOST_SAME_DIGITS, _SAME_END.sub(r"\1", text))
    text = _DIGITS.sub(r"\1", text)
    parts: dict[str, str] = {}  # grapheme of several code points → one that stands for it
    if not is_simple(text):
        for char in graphemes(text):
            if 1 < len(char) <= LONGEST_CLUSTER and not _ROW_OF_JAMO.fullmatch(char):
                parts.setdefault(char, chr(STAND_IN + len(parts)))
        text = "".join([parts.get(char, char) for char in graphemes(text)])
    text = _PHRASE.sub(r"\1", _PARTS.sub(r"\1\1", _ALIKE.sub(r"\1\1\1", text)))
    if len(text) > LONGEST_LAUGH:
        words = text.split()
        text = " ".join([word if len(word) <= LONGEST_LAUGH or _says(word) else word[:LONGEST_LAUGH] for word in words])
    for char, stand_in in parts.items():
        text = text.replace(stand_in, char)
    return text


def _once(words: Sequence[str]) -> list[str]:
    """Keeps only the first of words and phrases that are repeated in a row."""
    words = [*words[:1], *[word for before, word in pairwise(words) if word != before]]
    again = len(words) - len(set(words))  # a repeated phrase repeats two words at least
    return _phrases_once(words) if again > 1 else words


def _phrases_once(words: Sequence[str]) -> list[str]:
    """Keeps only the first of phrases that are repeated in a row. words: none of them twice in a row."""
    kept: list[str] = []
    for word in words:
        is_new = word not in kept[-MOST_WORDS_OF_PHRASE:]
        kept.append(word)
        if is_new:
            continue
        for length in range(2, min(MOST_WORDS_OF_PHRASE, len(kept) // 2) + 1):
            if kept[-1 - length] == word and kept[-length:] == kept[-2 * length : -length]:
                del kept[-length:]
                break
    return kept


def _says(chars: Sequence[str]) -> bool:
    """Whether a word has a meaning. False where its characters come twice on average, as in haha, www, ㅋㅋㅎㅎ."""
    known = set(chars)
    return len(chars) < 2 * len(known) or (len(known) > 1 and any(map(str.isdecimal, chars)))


def _is_sentence(key: str) -> bool:
    """Whether a text has two different words with a meaning, or a long enough one in a script without spaces."""
    known = set(key.split())
    if len(known) > 1:
        first = ""
        for word in known:
            letters = word if word.isalnum() else "".join(filter(str.isalnum, word))  # ha, ha! is one word
            if letters and _says(word):
                if first and letters != first:
                    return True
                first = letters
        return False
    if key.isascii() or len(key) < 6:  # longer than most interjections of Chinese, Japanese and Korean
        return False
    return len(set(_UNSPACED.findall(key))) >= 4


def _laugh(key: str) -> str:
    """The common key of all laughter with the same characters; "" where the text is none."""
    chars = [char for char in graphemes(key) if char.isalnum()] or [char for char in graphemes(key) if char != " "]
    known = set(chars)
    if len(known) == 1 or not (_says(chars) or any(map(_says, key.split()))):
        return "\0" + "".join(sorted(known))
    return ""
