"""The simulated platform's texts: topics, chat texts, titles. Never decides who speaks.

The words are in `spoken.tsv`: a line per topic with its English terms and its name in seven other languages.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

LANGUAGES = ("en", "es", "pt", "de", "fr", "ko", "ja", "ru")
LANGUAGE_SHARES = (0.40, 0.15, 0.12, 0.09, 0.08, 0.06, 0.05, 0.05)  # roughly those of a large live platform

_SAYINGS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "that {a} was insane",
        "how do you practice {a}?",
        "I always mess up the {a}",
        "{a} into {b} please",
        "is {a} better than {b}?",
        "best {a} I have seen today",
        "wait, what happened to the {a}",
        "my friend taught me {a} with {b}",
        "explain the {a} again",
        "{b} next?",
    ),
    "es": ("qué buena {n}", "me encanta lo de {n}, {a}", "cómo se hace {n}?", "otra vez {n} por favor", "{a} o {b}?"),
    "pt": (
        "que {n} incrível",
        "adoro quando fala de {n}, {a}",
        "como faz {n}?",
        "de novo {n} por favor",
        "{a} ou {b}?",
    ),
    "de": ("{n} ist so stark", "wie geht das mit {n}, {a}?", "nochmal {n} bitte", "ich liebe {n}", "{a} oder {b}?"),
    "fr": ("{n} c'est énorme", "comment tu fais {n}, {a} ?", "encore {n} stp", "j'adore {n}", "{a} ou {b} ?"),
    "ko": ("{n} 진짜 대박", "{n} 어떻게 해요? {a}", "{n} 다시 보여주세요", "{n} 너무 좋다", "{a} vs {b}?"),
    "ja": ("{n}すごい", "{n}はどうやるの? {a}", "{n}もう一回お願い", "{n}大好き", "{a}と{b}どっち?"),
    "ru": ("{n} это мощно", "как делать {n}? {a}", "ещё раз {n} пожалуйста", "обожаю {n}", "{a} или {b}?"),
}
_SPOKEN: Mapping[str, tuple[str, ...]] = {
    "en": (
        "so what I am going to do now is show you {a}, and after that we take a look at {b}",
        "okay, people always ask me about {a}, and honestly it only works because of {b}",
        "give me a second, I want to get this {a} right before we go on",
        "that is the thing with {a}, you have to practice it for weeks and then it suddenly clicks",
        "thank you for the follow, we are still at {b}, nothing lost",
        "let me read the chat for a moment, somebody was asking whether {a} is better than {b}",
    ),
    "es": (
        "bueno, ahora os voy a enseñar {n} con calma",
        "mucha gente me pregunta por {a}, y la verdad es que {n} lleva tiempo",
    ),
    "pt": (
        "então agora eu vou mostrar {n} com calma para vocês",
        "muita gente me pergunta sobre {a}, e {n} leva tempo mesmo",
    ),
    "de": ("also ich zeige euch jetzt in Ruhe {n}", "viele fragen mich nach {a}, und bei {n} braucht es einfach Zeit"),
    "fr": (
        "alors maintenant je vais vous montrer {n} tranquillement",
        "on me demande souvent {a}, et {n} ça prend du temps",
    ),
    "ko": ("자 이제 {n} 천천히 보여드릴게요", "{a} 많이 물어보시는데 {n} 시간이 좀 걸려요"),
    "ja": ("じゃあ今から{n}をゆっくり見せますね", "{a}についてよく聞かれますけど、{n}は時間がかかります"),
    "ru": ("так, сейчас я спокойно покажу вам {n}", "меня часто спрашивают про {a}, и {n} требует времени"),
}
_CHATTER: Mapping[str, tuple[str, ...]] = {
    "en": ("hello chat", "lol", "no way", "good morning", "first time here", "W", "haha what", "let's goooo", "brb"),
    "es": ("hola a todos", "jajaja", "no puede ser", "buenas noches", "vamos!!"),
    "pt": ("oi gente", "kkkkkk", "não acredito", "boa noite", "bora!!"),
    "de": ("moin zusammen", "haha", "kann nicht sein", "guten Abend", "los geht's"),
    "fr": ("salut tout le monde", "mdrrr", "pas possible", "bonsoir", "allez !!"),
    "ko": ("안녕하세요", "ㅋㅋㅋㅋㅋ", "말도 안돼", "처음 왔어요", "가자!!"),
    "ja": ("こんにちは", "草", "まじか", "初見です", "がんばれ!!"),
    "ru": ("всем привет", "ахахаха", "не может быть", "добрый вечер", "погнали!!"),
}
_TITLES: Mapping[str, str] = {
    "en": "{a} and {b} | live with chat",
    "es": "{n} y {a} | en directo",
    "pt": "{n} e {a} | ao vivo",
    "de": "{n} und {a} | live",
    "fr": "{n} et {a} | en direct",
    "ko": "{n} {a} | 생방송",
    "ja": "{n} {a} 配信中",
    "ru": "{n} и {a} | прямой эфир",
}
_EMOTES = ("Kappa", "PogChamp", "LUL", "KEKW", "monkaS", "Pog", "catJAM", "Sadge", "OMEGALUL", "<3", "😂", "🔥")
SPAM = (
    "FREE VIEWERS at best-followers dot example, first 100 get 50% off",
    "Want to become famous? Buy followers and primes on getviews dot example",
    "check my profile for a giveaway!!! 500 gift cards left",
    "!join",
    "Cheap viewers on cheapviews dot example @everyone",
)
EMOTE_SHARE = 0.15  # of the messages, those that are emotes alone
CHATTER_SHARE = 0.15  # of the messages, those about nothing in particular
EMOTE_AFTER_SHARE = 0.25  # of the other messages, those that end in an emote


@dataclass(frozen=True, slots=True)
class SpokenTopic:
    """A topic of rooms. `names`: its name by language; English has only `words`."""

    category: str
    name: str
    words: tuple[str, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SpokenCategory:
    """A category and its topics."""

    name: str
    topics: tuple[SpokenTopic, ...]


def load_categories() -> tuple[SpokenCategory, ...]:
    """Every category of `spoken.tsv`, in its order."""
    text = resources.files("streaming.simulated").joinpath("spoken.tsv").read_text(encoding="utf-8")
    grouped: dict[str, list[SpokenTopic]] = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        names = {language: row[language] for language in LANGUAGES[1:]}
        topic = SpokenTopic(row["category"], row["topic"], tuple(row["words"].split(";")), names)
        grouped.setdefault(topic.category, []).append(topic)
    return tuple(SpokenCategory(name, tuple(topics)) for name, topics in grouped.items())


class Phrasebook:
    """Texts by topic and language, made once per pair."""

    def __init__(self, topics: Sequence[SpokenTopic], seed: int, pool_size: int = 256) -> None:
        self._topics = topics
        self._seed = seed
        self._pool_size = pool_size
        self._pools: dict[tuple[int, int], list[str]] = {}

    def pool(self, topic: int, language: int) -> list[str]:
        """`pool_size` chat texts of a topic in a language. The same for the same seed, whatever the calls before."""
        key = (topic, language)
        if key not in self._pools:
            rng = random.Random(f"{self._seed}/{topic}/{language}")  # three times as fast as numpy for single numbers
            self._pools[key] = [self._text(rng, topic, LANGUAGES[language]) for _ in range(self._pool_size)]
        return self._pools[key]

    def speech(self, topic: int, language: int, seed: int) -> str:
        """A sentence that a streamer says about the topic. The same for the same seed."""
        spoken, rng = LANGUAGES[language], random.Random(seed)
        return self._fill(rng, topic, rng.choice(_SPOKEN[spoken]), spoken)

    def title(self, topic: int, language: int, seed: int) -> str:
        """A title of a room about the topic. The same for the same seed."""
        spoken = LANGUAGES[language]
        filled = self._fill(random.Random(seed), topic, _TITLES[spoken], spoken)
        return filled[0].upper() + filled[1:]

    def _text(self, rng: random.Random, topic: int, language: str) -> str:
        kind = rng.random()
        if kind < EMOTE_SHARE:
            return " ".join([rng.choice(_EMOTES)] * rng.randint(1, 5))
        if kind < EMOTE_SHARE + CHATTER_SHARE:
            said = rng.choice(_CHATTER[language])
        else:
            said = self._fill(rng, topic, rng.choice(_SAYINGS[language]), language)
        return f"{said} {rng.choice(_EMOTES)}" if rng.random() < EMOTE_AFTER_SHARE else said

    def _fill(self, rng: random.Random, topic: int, saying: str, language: str) -> str:
        spoken = self._topics[topic]
        first, second = rng.sample(spoken.words, 2)
        return saying.format(a=first, b=second, n=spoken.names.get(language, spoken.name))
