"""The words of reasons, by language, from the files in languages/. Never finds a reason.

A further language is a further file there, with the keys and placeholders of the English one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.requests.context import Context
from training.content.spelling import language_key

FOLDER = Path(__file__).with_name("languages")
ENGLISH = "en"
ABOUT = "{about}"
PLAIN = "_plain"  # ends the key of a reason that names nothing, where there is one that names something too
MOST_SPELLINGS = 1_000  # spellings of languages whose texts are remembered


@dataclass(frozen=True, slots=True)
class ReasonTexts:
    """The words of one language: what stands before and after what a reason names, by key."""

    language: str
    named: Mapping[str, tuple[str, str]]
    plain: Mapping[str, str]

    def of(self, source: str, about: str) -> str:
        """A reason in words. about: the streamer or label that it names; "" for none."""
        if about or source not in self.plain:
            return self._around(source, about)
        return self.plain[source]

    def of_similar_room(self, streamer: str) -> str:
        """The reason of a room in a list of rooms like one of the streamer's."""
        return self._around("similar_room", streamer)

    def lowered(self, reason: str) -> str:
        """A reason, with that the room was lowered because it was shown before."""
        return self._around("lowered", reason)

    def _around(self, key: str, about: str) -> str:
        before, after = self.named[key]  # joined and not formatted, because a name may have braces
        return before + about + after


class ReasonLanguages:
    """The languages that reasons are written in. Read once, when it is made."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._texts = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
        self.english = self._texts[ENGLISH]
        self._by_spelling: dict[str, ReasonTexts | None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def of(self, *wanted: str | None) -> ReasonTexts:
        """The texts in the first of these languages that has any; else the English ones. `de-AT` is German."""
        for language in wanted:
            if language:
                texts = self._by_spelling.get(language) or self._found(language)
                if texts is not None:
                    return texts
        return self.english

    def asked(self, language: str | None, context: Context | None, watched: Mapping[str, float]) -> ReasonTexts:
        """The texts for a request: in the language asked for, preferred, or watched most. watched: shares."""
        preferred = context.language if context is not None else None
        return self.of(language, preferred, max(watched, key=watched.__getitem__) if watched else None)

    def _found(self, spelling: str) -> ReasonTexts | None:
        if spelling in self._by_spelling:
            return None
        texts = self._texts.get(language_key(spelling).partition("-")[0])
        if len(self._by_spelling) < MOST_SPELLINGS:
            self._by_spelling[spelling] = texts
        return texts


def _read(path: Path) -> ReasonTexts:
    texts: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))
    named, plain = {}, {}
    for key, text in texts.items():
        before, about, after = text.partition(ABOUT)
        if about:
            named[key] = before, after
        else:
            plain[key.removesuffix(PLAIN)] = text
    return ReasonTexts(path.stem, named, plain)
