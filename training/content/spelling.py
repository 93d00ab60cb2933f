"""Comparison keys for spellings of categories and languages. Never changes what is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

# Old codes that Java and C libraries still write; the new ones are those of the IANA registry, and CLDR's (no, fil).
RENAMED: Mapping[str, str] = MappingProxyType(
    {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "nb": "no", "tl": "fil"}
)


def category_key(name: str) -> str:
    """A key that all spellings of a category share: letter case, the form of accents and outer spaces do not count."""
    return _folded(name)


def language_key(tag: str) -> str:
    """A key that all spellings of a language tag share, those of BCP 47 (pt-BR) and of locales (pt_BR.UTF-8, PT)."""
    key = _folded(tag).replace("_", "-").strip("-")
    if "." in key or "@" in key:  # pt_BR.UTF-8, sr_RS@latin
        key = key.partition(".")[0].partition("@")[0]
    primary = key.partition("-")[0]
    return RENAMED[primary] + key[len(primary) :] if primary in RENAMED else key


def speaks(language: str, wanted: str) -> bool:
    """Whether a language, as `language_key`, is the wanted one or a kind of it: pt finds pt-br, zh-tw zh-hant-tw.

    RFC 4647, 3.3.2 (extended filtering), without its wildcard.
    """
    if language == wanted:
        return True
    primary, *said = language.split("-")
    wanted_primary, *asked = wanted.split("-")
    if primary != wanted_primary:
        return False
    for subtag in asked:
        while said and said[0] != subtag:
            if len(said[0]) == 1:  # what follows is no region, no script: an extension
                return False
            del said[0]
        if not said:
            return False
        del said[0]
    return True


def _folded(name: str) -> str:
    """Unicode 3.13, D145, with composed letters: what does not differ after this differs in case and form alone."""
    if name.isascii():
        return name.lower().strip()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()).strip()
