"""A cheap guess at a text's language, for rooms that declare none. Never loads a model."""

from __future__ import annotations

import re
from collections import Counter

# Ranges of scripts that one language (or one language by far) writes in, in the order in which they decide:
# Japanese writes Han too, so kana comes before Han.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")

# Frequent words that the others do not share.
_STOP_WORDS = {
    "en": "the and you is it this that what of are was have for not just he his with how why",
    "es": "el los las una por que qué para está esta pero como muy yo eso hay más del bien cuando",
    "pt": "o os uma não nao você voce isso tá ta mais com muito ele ela mas eu só pra do da",
    "fr": "le les une est pas je tu il c'est des pour dans mais avec ça ca qui sur vous c",
    "de": "der die das und ist nicht ich du ein eine wie mit auf auch ja aber wir hat noch",
    "it": "il gli che non è sono per una ma come anche questo della di perché ho sei",
    "tr": "bir ve bu ne için çok ama abi değil mi var yok ben sen gibi",
    "pl": "nie jest się sie to na co ale jak tak już jeszcze ty mi",
}
_LANGUAGES_OF_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _STOP_WORDS.items() if word in words.split())
    for words in _STOP_WORDS.values()
    for word in words.split()
}
_MIN_VOTES = 2  # one word is a quotation or a name


def guess_language(text: str) -> str:
    """Guesses a two-letter language code; "" where the text gives no clear sign. A function of the text alone."""
    if not text.isascii():
        num_letters = len(_LETTER.findall(text))
        for language, script in _SCRIPTS:
            if num_letters and 4 * len(script.findall(text)) >= num_letters:  # a quarter: chat mixes in Latin emotes
                return language
    votes: Counter[str] = Counter()
    for word in _WORD.findall(text.lower()):
        languages = _LANGUAGES_OF_WORD.get(word, ())
        for language in languages:
            votes[language] += 12 // len(languages)  # 12: divides by 1, 2, 3 and 4
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    if not ranked or ranked[0][1] < 12 * _MIN_VOTES or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return ""
    return ranked[0][0]
